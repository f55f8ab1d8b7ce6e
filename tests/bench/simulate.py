"""Speed of the simulator: whole rows, draws and terms included, on one core, set-up left out.

The alternative is the plain path in the paper's order, `simlib/simulation/reference.py`, on the
same rows in the same run; the two also tell the largest error of the fast one.
"""

import time
from collections.abc import Callable

import numpy as np
import xarray as xr

from simlib.config import load_config
from simlib.etc.grid import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

COMMAND = "OMP_NUM_THREADS=1 python -m tests.bench simulate"
ROWS, PLAIN_ROWS, ROUNDS = 512, 16, 3


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    config, grid = load_config("demo"), open_grid("default")
    terms = build_terms_grid(config)

    def rows(count: int, path: str) -> xr.Dataset:
        parameters = draw_parameters(config, grid, "train", 0, count)
        return simulate(parameters, grid, terms, config, path)  # type: ignore[arg-type]

    fast, plain = rows(PLAIN_ROWS, "compiled"), rows(PLAIN_ROWS, "reference")
    quick = best_seconds(lambda: rows(ROWS, "compiled")) / ROWS
    slow = best_seconds(lambda: rows(PLAIN_ROWS, "reference")) / PLAIN_ROWS
    error = float(np.abs(fast["flux"].values / plain["flux"].values - 1.0).max())
    return [
        entry("simulate.spectra_per_s_per_core", round(1 / quick), "spectra/s",
              f"the plain path: {1 / slow:.1f} spectra/s"),
        entry("simulate.ratio_reference", round(slow / quick, 1), "ratio",
              "the plain path in the paper's order (simlib/simulation/reference.py)"),
        entry("simulate.max_rel_error_flux", float(f"{error:.2e}"), "relative",
              f"the plain path, {PLAIN_ROWS} drawn rows, every pixel"),
    ]  # fmt: skip


def best_seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds of the best of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    """Return one line of bench.json."""
    return {"name": name, "value": value, "unit": unit, "against": against, "command": COMMAND}
