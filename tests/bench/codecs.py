"""Lossless codecs on simulated spectra: size, and how fast a block is written and read by a core.

One block of 1,024 rows in chunks of 128, flux and variance, each codec in one run. It is read chunk
by chunk from the disk's cache: by zarr's own pipeline, by `zarrs` where the package is installed,
and by our shards, which are also written in the same run.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from simlib.dataset.shards import ShardedArray, encoded_shard
from simlib.location import Location
from tests.bench.simulate import entry, everything

ROWS, CHUNK, ROUNDS = 1024, 128, 5
COMMAND = "python -m tests.bench codecs"
CODECS: dict[str, list[Any]] = {
    "none": [],
    "lz4": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")],
    "lz4_bytes": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
    "blosc_zstd1": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
    "blosc_zstd5": [BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle")],
    "zstd": [ZstdCodec(level=3)],
}


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    from simlib.parameters import draw_parameters
    from simlib.simulation.simulate import simulate

    config, grid, terms = everything()
    made = simulate(draw_parameters(config, grid, "train", 0, ROWS), grid, terms, config)
    values = [np.asarray(made[name].values) for name in ("flux", "variance")]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    entries = []
    for name, codec in CODECS.items():
        with tempfile.TemporaryDirectory() as folder:
            written = best(lambda codec=codec: write(folder, codec, values))  # type: ignore[misc]
            size = sum(e.stat().st_size for d, _, f in os.walk(folder) for e in scan(d, f))
            told = f"of {8 * values[0].shape[1]} bytes; written in {1e6 * written / ROWS:.0f} us"
            entries.append(told_entry(f"codec.{name}.bytes_per_spectrum", size / ROWS, "B", told))
            entries += ours(Path(folder), name, codec, values)
            for pipeline, label in PIPELINES.items():
                with using(pipeline) as is_there:
                    if is_there:
                        read = best(lambda: read_back(folder, values)) / ROWS
                        what = "a spectrum, flux and variance, one core"
                        name_of = f"codec.{name}.read_us{label}"
                        entries.append(told_entry(name_of, 1e6 * read, "us", what))
    return entries


def ours(
    folder: Path, name: str, codec: list[Any], values: list[np.ndarray]
) -> list[dict[str, object]]:
    """Return how long our own shards take to be written and read; the files are zarr's."""
    packing = None
    if codec and isinstance(codec[0], BloscCodec):
        one = codec[0]
        shuffle = {"shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}[one.shuffle.value]
        packing = Blosc(one.cname.value, one.clevel, shuffle)
    elif codec:
        return []

    def encode() -> None:
        for number, array in enumerate(values):
            (folder / f"ours-{number}").write_bytes(encoded_shard(array, CHUNK, ROWS, packing))

    def read() -> None:
        for number, array in enumerate(values):
            kept = zarr.open_array(LocalStore(folder), path=str(number), mode="r")
            by_chunks(ShardedArray(Location.of(folder), kept), array)

    what = "a spectrum, flux and variance, one core, by our shards"
    return [
        told_entry(f"codec.{name}.write_us_ours", 1e6 * best(encode) / ROWS, "us", what),
        told_entry(f"codec.{name}.read_us_ours", 1e6 * best(read) / ROWS, "us", what),
    ]


PIPELINES = {
    "zarr.core.codec_pipeline.BatchedCodecPipeline": "",
    "zarrs.ZarrsCodecPipeline": "_zarrs",
}


@contextmanager
def using(pipeline: str) -> Iterator[bool]:
    """Read by another pipeline for a while; yield whether it is installed."""
    try:
        __import__(pipeline.partition(".")[0])
    except ImportError:
        yield False
        return
    with zarr.config.set({"codec_pipeline.path": pipeline, "threading.max_workers": 1}):
        yield True


def told_entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    return entry(name, round(value, 1), unit, against) | {"command": COMMAND}


def scan(folder: str, names: list[str]) -> list[os.DirEntry[str]]:
    return [one for one in os.scandir(folder) if one.name in names]


def write(folder: str, codec: list[Any], values: list[np.ndarray]) -> None:
    for number, array in enumerate(values):
        kept = zarr.create_array(
            f"{folder}/{number}", shape=array.shape, dtype=array.dtype, shards=array.shape,
            chunks=(CHUNK, array.shape[1]), compressors=[*codec, Crc32cCodec()], overwrite=True,
        )  # fmt: skip
        kept[:] = array


def read_back(folder: str, values: list[np.ndarray]) -> None:
    for number, array in enumerate(values):
        kept = zarr.open_array(f"{folder}/{number}", mode="r")
        by_chunks(kept, array)


def by_chunks(kept: Any, array: np.ndarray) -> None:
    """Read an array as training does, chunk by chunk."""
    for start in range(0, ROWS, CHUNK):
        found = np.asarray(kept[start : start + CHUNK])
        assert found[0, 0] == array[start, 0] and found[-1, -1] == array[start + CHUNK - 1, -1]


def best(work: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)
