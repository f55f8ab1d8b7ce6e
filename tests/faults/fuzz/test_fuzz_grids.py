"""Files of published grids, and grids as the program keeps them, that are damaged or odd."""

from pathlib import Path

import pytest

from tests.faults.fuzz import grid_file_kinds, grid_store_kinds
from tests.faults.fuzz.harness import fuzz

KINDS = grid_file_kinds.KINDS | grid_store_kinds.KINDS


@pytest.mark.filterwarnings("ignore:.*wavelengths do not follow the documented series")
@pytest.mark.parametrize("name", KINDS)
def test_no_grid_breaks_the_program(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fuzz(name, KINDS[name], tmp_path, capfd)
