"""How long a dataset takes to an object store, against uploading the same bytes and no more.

The store is Ceph's gateway on loopback, in memory. The bare side puts objects of the same sizes
with plain s3fs, from as many processes, a block's two at once; before and after, as the store takes
the longer the more it holds, and the mean counts. What the blocks say they computed is taken off
the program's side; its reading back, records and checksums are not. All in one run.
"""

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from simlib.location import Location
from tests.bench.build import program, sets
from tests.bench.simulate import entry
from tests.storage import ceph
from tests.storage.object_store import Server, credentials, make_bucket

ROWS = int(os.environ.get("SPECDENOISE_BENCH_S3_ROWS", "61440"))
COMMAND = "python -m tests.bench object_store"


def run() -> list[dict[str, object]]:
    """Return one entry per figure, none where Ceph is not installed."""
    if ceph.missing():
        return []
    cores = len(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as scratch,
        ceph.running(Path(scratch)) as store,
        credentials(**store.keys),
    ):
        bucket = make_bucket(Server(store.address), "bench")
        size = [f"dataset.n_train={ROWS}", "dataset.n_validation=1024", "dataset.n_test=0"]
        few = ["dataset.n_train=1024", "dataset.n_validation=1024", "dataset.n_test=0"]
        warm = [f"storage.root='{bucket.url}/warm'", bucket.sets[1], *few]
        warmed = blocks_of(
            Location.of(program(["build", "survey", *sets(warm)])[0], bucket.options)
        )
        sizes = [list(warmed[0]["sizes"].values())] * (ROWS // 1024 + 1)
        before = upload_seconds(sizes, bucket.url, store.address, cores)
        made = program(["build", "survey", *sets([*bucket.sets, *size])])[0]
        folder = Location.of(made, bucket.options)
        manifest = json.loads((folder / "manifest.json").read_bytes() or b"")
        records = blocks_of(folder)
        computing = sum(record["seconds_computing"] for record in records) / cores
        sizes = [list(record["sizes"].values()) for record in records]
        after = upload_seconds(sizes, bucket.url, store.address, cores)
    bare = (before + after) / 2
    seconds = manifest["seconds"]
    total = sum(map(sum, sizes)) / 1e6
    what = (
        f"{manifest['rows']} rows, {total:.0f} MB in {len(records)} blocks on {cores} processes: "
        f"{seconds:.1f} s, of it computing {computing:.1f} s; plain s3fs {before:.1f} and "
        f"{after:.1f} s"
    )
    ratio = round((seconds - computing) / bare, 2)
    return [entry("build.s3_over_upload", ratio, "ratio", what) | {"command": COMMAND}]


def blocks_of(folder: Location) -> list[dict[str, Any]]:
    """Return the records of a dataset's blocks."""
    parts = folder / "parts"
    names = [name for name in parts.names() if "-" in name]
    return [json.loads(data) for data in parts.read_files(names).values()]


def upload_seconds(sizes: list[list[int]], url: str, address: str, cores: int) -> float:
    """Return the wall seconds of putting objects of these sizes, those of a block at once."""
    context = multiprocessing.get_context("spawn")
    jobs = [(number, some) for number, some in enumerate(sizes)]
    with context.Pool(cores, begin, (url, address)) as pool:
        pool.map(put, jobs[: 2 * cores], chunksize=1)  # every process is connected
        begun = time.monotonic()
        pool.map(put, jobs, chunksize=1)
        return time.monotonic() - begun


def begin(url: str, address: str) -> None:
    """Open what a process of the pool needs."""
    import s3fs

    globals().update(_FILES=s3fs.S3FileSystem(endpoint_url=address), _URL=url)


def put(job: tuple[int, list[int]]) -> None:
    number, sizes = job
    objects = {
        f"{globals()['_URL']}/bare/{number}-{n}": b"\xa5" * size for n, size in enumerate(sizes)
    }
    globals()["_FILES"].pipe(objects)
