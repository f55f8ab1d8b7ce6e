"""Compiled loops read nothing outside their arrays, of any sizes, and say what NumPy says."""

from pathlib import Path

import numpy as np
import pytest

from tests.odd_loops import Case, run, try_shapes
from tests.trainlib import odd_shapes

TRIED = odd_shapes.__name__
# Here pixels lie nearer to the end of the axis than their splines reach.
CUT_SHORT = f"""
from {TRIED} import *
import {TRIED} as tried
tried.AFTER = 2
for seed in range(9):
    splines(np.random.default_rng(seed))
"""


@pytest.mark.parametrize("case", odd_shapes.CASES)
def test_loops_say_what_numpy_says(case: Case) -> None:
    for seed in range(12):
        case(np.random.default_rng(seed))


@pytest.mark.slow  # compiles every loop once more
def test_no_loop_leaves_its_arrays_whatever_their_sizes(tmp_path: Path) -> None:
    assert try_shapes(tmp_path, TRIED, 6000, 9) >= 6000


@pytest.mark.slow  # compiles loops once more
def test_a_loop_that_leaves_its_arrays_is_caught(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", CUT_SHORT)
    assert done.returncode == 1 and "IndexError" in done.stderr
