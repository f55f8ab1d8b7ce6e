"""Speed and memory of importing 200 BOSZ 2017 text files of R = 20000 on two cores.

The files are those of the archive in form and size: 247,215 lines of 1000 A to 32 um, packed with
bzip2; and files that were cut to the window. A few different spectra are made and linked under 200
names. The import is the program's own verb: as a user starts it, on threads, and of the whole files
once more on two worker processes of a cluster. One file's window is also read with a library that
seeks in bzip2.
"""

import bz2
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import psutil

BAR_FILES_PER_S, BAR_BYTES = 20.0, 1e9
DIFFERENT, WINDOW = 5, (670.0, 920.0)
TEFF, LOGG = (4000.0, 4250.0, 4500.0, 4750.0, 5000.0), (0.0, 1.0, 2.0, 3.0, 4.0)
FEH, ALPHA = (-1.0, -0.5, 0.0, 0.5), (0.0, 0.25)
COMMAND = "python -m tests.bench grids"
POLL_S = 0.1


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory() as scratch:
        cut, source = Path(scratch) / "cut", Path(scratch) / "files"
        entries = measured("cut", cut, write_files(cut, WINDOW), "--workers", "2")
        size = write_files(source)
        entries += measured("threads", source, size, "--workers", "2")
        entries.append(window_of_one_file(next(source.rglob("*.bz2"))))
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster:
            address = cluster.scheduler_address
            return entries + measured("processes", source, size, "--address", address)


def write_files(folder: Path, window: tuple[float, float] | None = None) -> int:
    """Write the files, whole or cut to a window (nm); return their bytes together."""
    from simlib.stellar.archive import bosz2017
    from tests.simlib.stellar.archive.bosz_files import model_name

    made: list[Path] = []
    for teff, logg, feh, alpha in product(TEFF, LOGG, FEH, ALPHA):
        node = {"teff": teff, "logg": logg, "feh": feh, "alpha": alpha}
        path = folder / bosz2017.relative_path(model_name(node, 20000, "asc.bz2"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(made) < DIFFERENT:
            path.write_bytes(bz2.compress(text_of(len(made), window)))
            made.append(path)
        else:
            os.link(made[int(logg)], path)
    return sum(path.stat().st_size for path in folder.rglob("*.bz2"))


def text_of(seed: int, window: tuple[float, float] | None) -> bytes:
    """Return a file's text: lines of noise on a black body, as hard to pack as a star's."""
    from simlib.stellar.quality.sanity import black_body_flux
    from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength

    wavelength = whole_native_wavelength(7)
    if window is not None:
        wavelength = wavelength[(wavelength > window[0] - 1) & (wavelength < window[1] + 1)]
    continuum = black_body_flux(wavelength, 4000.0 + 250.0 * seed) / np.pi
    depth = np.random.default_rng(seed).beta(0.5, 5.0, len(wavelength))
    rows = zip(10 * wavelength, continuum * (1 - depth), continuum, strict=True)
    return "".join(f"{w:12.3f} {f:14.7E} {c:14.7E}\n" for w, f, c in rows).encode()


def window_of_one_file(path: Path) -> dict[str, object]:
    """Return the entry of reading the window's lines of a whole file, ours against rapidgzip's."""
    from simlib.stellar.archive.bosz2017 import file_share
    from simlib.stellar.archive.bz2_blocks import lines_between

    low, high = 10 * WINDOW[0], 10 * WINDOW[1]
    data = path.read_bytes()
    ours, lines = best_ms(lambda: lines_between(data, low, high, file_share(low)))
    against = "rapidgzip is not installed"
    with suppress(ImportError):
        theirs, others = best_ms(lambda: lines_with_rapidgzip(path, low, high))
        against = f"{theirs:.0f} ms with rapidgzip, told where the lines are; both on one thread"
        if others != lines:
            raise RuntimeError("rapidgzip gives other lines")
    return {
        "name": "grids.window_of_bz2_text",
        "value": round(ours, 1),
        "unit": "ms",
        "against": f"{against}; {len(data) / 1e6:.1f} MB packed",
        "command": COMMAND,
    }


def lines_with_rapidgzip(path: Path, low: float, high: float) -> bytes:
    """Return the lines by seeking to where they are: all lines are of one width."""
    import rapidgzip

    from simlib.stellar.archive.bosz2017 import file_share
    from simlib.stellar.archive.bz2_blocks import cut_lines
    from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength

    rows, width = len(whole_native_wavelength(7)), len(f"{0:12.3f} {0:14.7E} {0:14.7E}\n")
    first, last = (int(file_share(end) * rows) for end in (low, high))
    with rapidgzip.IndexedBzip2File(str(path), parallelization=1) as text:
        text.seek(width * (first - 10))
        return cut_lines(text.read(width * (last - first + 20)), low, high)


def best_ms(read: Callable[[], bytes], times: int = 7) -> tuple[float, bytes]:
    """Return the least milliseconds of a few readings, and what was read."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        lines = read()
        taken.append(1e3 * (time.perf_counter() - started))
    return min(taken), lines


def measured(kind: str, source: Path, size: int, *arguments: str) -> list[dict[str, object]]:
    """Import once; return the entries of speed and memory."""
    store = source.parent / f"{kind}.zarr"
    files = len(list(source.rglob("*.bz2")))
    load = os.getloadavg()[0]
    before = os.times()
    seconds, own_rate, peak = import_once(source, store, *arguments)
    after = os.times()
    shutil.rmtree(store)
    busy = after.children_user + after.children_system
    busy -= before.children_user + before.children_system
    return [
        {
            "name": f"grids.import_files_per_s.{kind}",
            "value": own_rate,
            "unit": "files/s",
            "against": f"bar {BAR_FILES_PER_S:g} on 2 cores; {own_rate * size / files / 1e6:.0f} "
            f"MB/s packed; {files} files in {seconds:.1f} s ({busy:.1f} s of processors, workers "
            f"of a cluster not counted) with the program's start; machine's load before {load:.1f}",
            "command": COMMAND,
        },
        {
            "name": f"grids.import_peak_memory.{kind}",
            "value": round(peak / 1e6),
            "unit": "MB",
            "against": f"bar {BAR_BYTES / 1e6:g}, resident sizes of all processes together",
            "command": COMMAND,
        },
    ]


def import_once(source: Path, store: Path, *arguments: str) -> tuple[float, float, float]:
    """Run the verb; return its wall seconds, the files/s it tells, the peak bytes together."""
    window = ",".join(map(str, WINDOW))
    command = [sys.executable, "-c", "from flows.cli import main; main()", "grid", "import"]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            [*command, str(source), "--to", str(store), "--window", window, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=told,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_bytes())
            time.sleep(POLL_S)
        seconds = time.perf_counter() - started
        told.seek(0)
        output = told.read()
    rates = re.findall(r"importing: files (\d+)/\1 .* ([\d.]+) files/s", output)
    if process.returncode or not rates:
        raise RuntimeError(f"the import ended with {process.returncode}: {output}")
    return seconds, float(rates[-1][1]), peak


def resident_bytes() -> float:
    """Return the resident bytes of all processes below this one: the import, or its workers too."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return float(total)


if __name__ == "__main__":
    for entry in run():
        print("{name}: {value} {unit}  [{against}]".format(**entry))
