"""Speed of the simulator: whole rows, draws and terms included, on one core, set-up left out.

Side by side in one run: the simulator as one would write it first (`_textbook.py`), packages from
the registry where they are installed (`pip install '.[bench]'`; `_peers.py` says what each leaves
out), the plain path in float64, and the floor that memory and arithmetic set on this machine.
Times are processor seconds of the best of short bursts; only ratios travel. The cold start is timed
apart, in wall seconds.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid
from tests.bench import _peers
from tests.bench._textbook import Textbook

COMMAND = "python -m tests.bench simulate"
ROWS, PLAIN_ROWS, ROUNDS = 4096, 16, 5
FIBRES = 100
MANY, BLOCK, PROCESSES = 200_000, 1024, 2  # rows as a worker computes them, nothing stored
# What a row must move and compute at least: four rows of a table read, two rows of pixels written
# (and fetched before), and the multiplications and additions of the loops over pixels.
BYTES_A_ROW = 4 * (4 * 8300 + 2 * 2 * 4096)
FLOPS_A_ROW = 2 * (4 * 8300 + (67 + 8 + 35 + 25) * 4096)
COLD = """
from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid
config, grid = load_config("demo"), open_grid("default")
simulate(draw_parameters(config, grid, "train", 0, 1), grid, build_terms_grid(config), config)
"""


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    config, grid, terms = everything()

    def rows(count: int, path: str) -> xr.Dataset:
        parameters = draw_parameters(config, grid, "train", 0, count)
        return simulate(parameters, grid, terms, config, path)  # type: ignore[arg-type]

    fast, plain = rows(PLAIN_ROWS, "compiled"), rows(PLAIN_ROWS, "reference")
    largest = {name: float(np.abs(fast[name].values / plain[name].values - 1.0).max())
               for name in ("flux", "variance", "snr")}  # fmt: skip
    floor = floor_seconds()
    quick = best_seconds(lambda: rows(ROWS, "compiled"), 3) / ROWS
    slow = best_seconds(lambda: rows(PLAIN_ROWS, "reference"), 2) / PLAIN_ROWS
    book = Textbook(config, grid, terms)
    stars = draw_parameters(config, grid, "train", 0, 4)
    naive = best_seconds(lambda: [book.spectrum(stars.isel(spectrum=i)) for i in range(4)], 3) / 4
    entries = [
        entry("simulate.spectra_per_s_per_core", round(1 / quick), "spectra/s",
              f"{1e6 * quick:.1f} us a row in calls of {ROWS}"),
        entry("simulate.ratio_textbook", round(naive / quick), "ratio",
              f"plain NumPy and SciPy, a spectrum at a time: {1e3 * naive:.1f} ms"),
        entry("simulate.ratio_reference", round(slow / quick), "ratio",
              f"our path in the paper's order, float64: {1e3 * slow:.1f} ms"),
        entry("simulate.multiple_of_floor", round(quick / floor, 1), "ratio",
              f"memory and arithmetic of one row on this machine: {1e6 * floor:.1f} us"),
        *(entry(f"simulate.max_rel_error_{name}", float(f"{error:.2e}"), "relative",
                f"float64 path, {PLAIN_ROWS} drawn rows") for name, error in largest.items()),
        *peers(grid, terms, quick),
    ]  # fmt: skip
    return [*entries, many(), *starts()]


@cache
def everything() -> tuple[SimulationConfig, xr.Dataset, xr.Dataset]:
    """Return config, stellar grid and terms, opened once in a process."""
    config = load_config("demo")
    return config, open_grid("default"), build_terms_grid(config)


def block(number: int) -> float:
    """Compute a block of rows in this process; return its mean flux, so that it is needed."""
    config, grid, terms = everything()
    parameters = draw_parameters(config, grid, "train", number * BLOCK, (number + 1) * BLOCK)
    return float(simulate(parameters, grid, terms, config)["flux"].values[:, ::64].mean())


def many() -> dict[str, object]:
    """Return wall seconds of many rows on two warm processes, spectra thrown away."""
    numbers = range(-(-MANY // BLOCK))
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(block, range(4 * PROCESSES), chunksize=1)  # every process opens and compiles
        begun = time.monotonic()
        pool.map(block, numbers, chunksize=4)
        seconds = time.monotonic() - begun
    what = f"{MANY} rows in blocks of {BLOCK} on {PROCESSES} warm processes, nothing stored"
    return entry("simulate.200k_s", round(seconds, 1), "s", what)


def peers(grid: xr.Dataset, terms: xr.Dataset, quick: float) -> list[dict[str, object]]:
    """Return the ratios to the packages that are installed."""
    wavelength = grid["wavelength_model"].values
    flux = grid["flux_normalized"].values[0, 0, 0, 0].astype(float)
    found = {
        "specsim_1": (_peers.specsim(1), 1, "source to variance; no stellar grid; 1 fibre"),
        f"specsim_{FIBRES}": (_peers.specsim(FIBRES), FIBRES,
                              f"source to variance; no stellar grid; {FIBRES} fibres a call"),
        "spectres": (_peers.spectres(wavelength, flux, terms["wavelength"].values), 1,
                     "rebinning alone, no lines' width"),
        "specutils": (_peers.specutils(wavelength, flux, terms["wavelength"].values), 1,
                      "rebinning alone, no lines' width"),
        "pyastronomy": (_peers.pyastronomy(wavelength, flux), 1,
                        "convolution at constant resolution alone, no pixels"),
    }  # fmt: skip
    entries = []
    for name, (work, count, what) in found.items():
        if work is not None:
            work()
            each = best_seconds(work, 3) / count
            entries.append(entry(f"simulate.ratio_{name}", round(each / quick, 1), "ratio",
                                 f"{what}: {1e3 * each:.2f} ms"))  # fmt: skip
    return entries


def floor_seconds() -> float:
    """Return what one row takes at least: moving its bytes, or its arithmetic."""
    source = np.ones(1 << 24, dtype=np.float32)
    target = np.empty_like(source)
    copy = best_seconds(lambda: np.copyto(target, source), ROUNDS) / (2 * source.nbytes)
    a = np.ones((1024, 1024), dtype=np.float32)
    product = best_seconds(lambda: a @ a, ROUNDS) / (2 * 1024**3)
    return max(copy * BYTES_A_ROW, product * FLOPS_A_ROW)


def starts() -> list[dict[str, object]]:
    """Return wall seconds of one spectrum from nothing, with an empty cache and with a full one."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"SPECDENOISE_CACHE": cache, "NUMBA_CACHE_DIR": cache}
        seconds = []
        for _ in range(2):
            begun = time.monotonic()
            subprocess.run([sys.executable, "-c", COLD], env=environment, check=True, timeout=600)
            seconds.append(time.monotonic() - begun)
    what = "imports, stellar grid, terms, templates, compilation, one spectrum"
    return [
        entry("simulate.cold_s", round(seconds[0], 1), "s", f"an empty cache: {what}"),
        entry("simulate.warm_s", round(seconds[1], 1), "s", "the same once more"),
    ]


def best_seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the processor seconds of the best of some rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    """Return one line of bench.json."""
    return {"name": name, "value": value, "unit": unit, "against": against, "command": COMMAND}
