"""Compiled loops read no index outside their arrays, whatever the sizes, and say what NumPy says.

They run in a process of their own with every index checked, which numba does only where told to,
and which a read beyond an array could otherwise take down.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIED = "tests.simlib.simulation.odd_shapes"
# The loops walk rows of tables in fours; here they get three.
CUT_SHORT = f"""
from {TRIED} import *
kernel.in_fours = lambda values: values[:, np.newaxis, :3]
for seed in range(9):
    observe_rows(np.random.default_rng(seed))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checked-loops")


def run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with every index of compiled loops checked."""
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=checked, check=False, capture_output=True, text=True, timeout=900
    )


def try_shapes(cache: Path, shapes: int, grids: int, seed: int) -> int:
    """Return how many shapes were tried; fail for one that is wrong, or a loop that never ran."""
    done = run(cache, "-m", TRIED, str(shapes), str(grids), str(seed))
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["loops"] and all(said["loops"].values()), said["loops"]
    return int(said["shapes"])


@pytest.mark.slow  # compiles every loop once more
def test_no_loop_leaves_its_arrays_whatever_their_sizes(cache: Path) -> None:
    assert try_shapes(cache, shapes=800, grids=8, seed=9) >= 500


@pytest.mark.slow  # compiles loops once more
def test_a_loop_that_leaves_its_arrays_is_caught(cache: Path) -> None:
    done = run(cache, "-c", CUT_SHORT)
    assert done.returncode == 1 and "IndexError" in done.stderr


@pytest.mark.slow
def test_no_loop_leaves_its_arrays_over_many_more_sizes(tmp_path: Path) -> None:
    assert try_shapes(tmp_path, shapes=20_000, grids=60, seed=10) >= 20_000
