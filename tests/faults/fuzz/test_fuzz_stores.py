"""Datasets and grids of terms that are damaged or odd."""

from pathlib import Path

import pytest

from tests.faults.fuzz.harness import fuzz
from tests.faults.fuzz.store_kinds import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_no_store_breaks_the_program(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fuzz(name, KINDS[name], tmp_path, capfd)
