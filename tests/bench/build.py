"""How long a dataset takes, against computing it and writing the same bytes with nothing around.

The bare side computes the same rows in blocks of the same size on as many warm processes, and
copies flux and variance into two plain mapped files, flushed at the end: no codec, no checksum, no
record, no reading back. The other is the program's own verb, as a user starts it, its start and
its scheduler included. Both in one run, the caches warm. Then the store is read in shuffled chunks.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from tests.bench.simulate import entry

ROWS = int(os.environ.get("SPECDENOISE_BENCH_ROWS", "0"))  # 0: all of the preset
READ, BATCH = 16_384, 250  # spectra read, at least; spectra handed out at once
POLL_S = 0.1
COMMAND = "python -m tests.bench build"


def overrides(root: Path) -> list[str]:
    size = [f"dataset.n_train={ROWS}", "dataset.n_validation=1024", "dataset.n_test=0"]
    return [f"storage.root='{root}'", *(size if ROWS else [])]


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        root = Path(scratch) / "data"
        small = ["dataset.n_train=1024", "dataset.n_validation=1024", "dataset.n_test=0"]
        program(["build", "survey", *sets([f"storage.root='{scratch}/warm'", *small])])
        bare, computing = bare_seconds(root, Path(scratch), cores)
        folder, seconds, memory = program(["build", "survey", *sets(overrides(root))])
        manifest = json.loads((Path(folder) / "manifest.json").read_text())
        rows, blocks = manifest["rows"], len(list((Path(folder) / "parts").glob("*-*.json")))
        pixels = [p for p in Path(folder).rglob("c/*/0") if p.is_file()]
        what = (f"{rows} rows on {cores} processes: {seconds:.0f} s; bare computing and plain "
                f"mapped files {bare:.0f} s, of it computing {computing:.0f} s")  # fmt: skip
        return [
            told("build.wall_over_compute", round(seconds / bare, 2), "ratio", what),
            told("build.objects_per_block", round((len(pixels) + blocks) / blocks, 2), "objects",
                 f"{blocks} blocks; flux, variance, record"),
            told("build.worker_memory", round(memory / 1e9, 2), "GB", "largest resident process"),
            told("build.spectra_per_s", round(rows / seconds), "1/s", f"{cores} processes"),
            *reading(Path(folder)),
        ]  # fmt: skip


def told(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    return entry(name, value, unit, against) | {"command": COMMAND}


def sets(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def program(words: list[str]) -> tuple[str, float, int]:
    """Run the program; return its last line, its seconds, and its largest process's bytes."""
    begun, largest = time.monotonic(), 0
    process = psutil.Popen([sys.executable, "-m", "flows", *words], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    while process.poll() is None:
        for one in (process, *process.children(recursive=True)):
            try:
                largest = max(largest, one.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(POLL_S)
    seconds = time.monotonic() - begun
    assert process.stdout is not None and process.returncode == 0
    return process.stdout.read().strip().splitlines()[-1], seconds, largest


def bare_seconds(root: Path, scratch: Path, cores: int) -> tuple[float, float]:
    """Return wall seconds of computing and plain writing, and those of computing alone."""
    from simlib.config import load_config
    from simlib.dataset.plan import automatic_block
    from simlib.etc.grid.store import ensure_terms_grid

    config = load_config("survey", overrides(root))
    terms = str(ensure_terms_grid(config))
    data = config.dataset
    counts = {"train": data.n_train, "validation": data.n_validation, "test": data.n_test}
    block = automatic_block(sum(counts.values()))
    jobs, first = [], 0
    for split, count in counts.items():
        for start in range(0, count, block):
            stop = min(start + block, count)
            jobs.append((split, start, stop, first + start))
        first += count
    for name in ("flux", "variance"):
        np.memmap(scratch / name, np.float32, "w+", shape=(first, 4096)).flush()
    context = multiprocessing.get_context("spawn")
    made = (config.model_dump_json(), terms, str(scratch), first)
    with context.Pool(cores, begin, made) as pool:
        pool.map(compute, jobs[: 4 * cores], chunksize=1)  # every process opens and compiles
        begun = time.monotonic()
        pool.map(compute, jobs, chunksize=1)
        computed = time.monotonic() - begun
        begun = time.monotonic()
        pool.map(compute_and_copy, jobs, chunksize=1)
        for name in ("flux", "variance"):
            descriptor = os.open(scratch / name, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        return time.monotonic() - begun, computed


def begin(config: str, terms: str, folder: str, rows: int) -> None:
    """Open what a process of the pool needs."""
    from simlib.config import SimulationConfig
    from simlib.dataset.rows import Recipe
    from simlib.location import Location

    recipe = Recipe(SimulationConfig.model_validate_json(config), Location.of(terms))
    files = [np.memmap(Path(folder) / name, np.float32, "r+", shape=(rows, 4096))
             for name in ("flux", "variance")]  # fmt: skip
    globals().update(_RECIPE=recipe, _FILES=files)


def compute(job: tuple[str, int, int, int]) -> object:
    from simlib.dataset.plan import Block

    split, start, stop, _ = job
    globals()["_MADE"] = globals()["_RECIPE"].rows(Block(split, start, stop))
    return None


def compute_and_copy(job: tuple[str, int, int, int]) -> None:
    _, start, stop, at = job
    compute(job)
    for name, file in zip(("flux", "variance"), globals()["_FILES"], strict=True):
        file[at : at + stop - start] = globals()["_MADE"][name].values


def reading(folder: Path) -> list[dict[str, object]]:
    """Read chunks in a shuffled order, by one core, and hand out rows mixed from a buffer."""
    from simlib.dataset.shuffled import HELD, shuffled

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    begun, read = time.monotonic(), 0
    for some in shuffled(folder, "train", BATCH, seed=1):
        read += len(some["rows"])
        if read >= READ:
            break
    rate = read / (time.monotonic() - begun)
    what = f"flux and variance of {read} spectra in batches of {BATCH}, {HELD} chunks mixed"
    return [told("read.spectra_per_s_per_core", round(rate), "1/s", what)]
