"""Compiled loops read nothing outside their arrays, of any sizes, and say what NumPy says."""

from pathlib import Path

import pytest

from tests.odd_loops import run, try_shapes

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


@pytest.mark.slow  # compiles every loop once more
def test_no_loop_leaves_its_arrays_whatever_their_sizes(cache: Path) -> None:
    assert try_shapes(cache, TRIED, 800, 8, 9) >= 500


@pytest.mark.slow  # compiles loops once more
def test_a_loop_that_leaves_its_arrays_is_caught(cache: Path) -> None:
    done = run(cache, "-c", CUT_SHORT)
    assert done.returncode == 1 and "IndexError" in done.stderr


@pytest.mark.slow
def test_no_loop_leaves_its_arrays_over_many_more_sizes(tmp_path: Path) -> None:
    assert try_shapes(tmp_path, TRIED, 20_000, 60, 10) >= 20_000
