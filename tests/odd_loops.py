"""Compiled loops on arrays of odd sizes against plain NumPy: what those of every package share.

A module of cases, run as `python -m MODULE SHAPES …`, says as JSON how many shapes it tried and
which compiled loops of its package ran. `try_shapes` runs it in a process of its own, with every
index checked, which numba does only where told to: an index outside an array is an error there, and
a read beyond one could otherwise take the process down.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numba.core.dispatcher import Dispatcher

ROOT = Path(__file__).resolve().parents[1]
CLOSE = 2e-5  # float32 sums of random numbers against float64
Case = Callable[[np.random.Generator], None]


def single(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return random numbers around 1, float32."""
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)


def compare(what: str, found: np.ndarray, expected: np.ndarray, close: float = CLOSE) -> None:
    """Raise AssertionError unless two arrays agree."""
    scale = np.abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(found, expected, rtol=close, atol=close * scale, err_msg=what)


def try_cases(cases: tuple[Case, ...], shapes: int, seed: int) -> None:
    """Try so many shapes, of each case in turn; raise SystemExit for the first that is wrong."""
    for number, case in enumerate(islice(cycle(cases), shapes)):
        try:
            case(np.random.default_rng([seed, number]))
        except (AssertionError, IndexError) as error:
            raise SystemExit(f"{case.__name__}, seed {[seed, number]}: {error}") from error


def report(package: str, shapes: int) -> None:
    """Print how many shapes were tried, and every compiled loop of a package: has it run here?"""
    print(json.dumps({"shapes": shapes, "loops": compiled_loops(package)}))


def compiled_loops(package: str) -> dict[str, bool]:
    """Return every function of a package that is compiled, and whether it has been, here."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if "njit" not in path.read_text(encoding="utf-8"):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module:
                found[f"{module}.{name}"] = bool(value.nopython_signatures)
    return found


def run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with every index of compiled loops checked. cache: empty, or of such a run."""
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=checked, check=False, capture_output=True, text=True, timeout=900
    )


def try_shapes(cache: Path, module: str, *numbers: int) -> int:
    """Return how many shapes were tried; fail for one that is wrong, or a loop that never ran."""
    done = run(cache, "-m", module, *map(str, numbers))
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["loops"] and all(said["loops"].values()), said["loops"]
    return int(said["shapes"])
