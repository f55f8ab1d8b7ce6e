"""Every promised name is there after importing its package alone."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "package", ["simlib", *(pytest.param(p, marks=pytest.mark.slow) for p in ("trainlib", "flows"))]
)
def test_every_promised_name_is_found(package: str) -> None:
    code = f"import {package} as p; print([n for n in p.__all__ if getattr(p, n) is None])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_interpolation_of_a_grid_is_reached_from_the_package() -> None:
    code = "import simlib; print(simlib.stellar.interpolate_grid.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "interpolate_grid"
