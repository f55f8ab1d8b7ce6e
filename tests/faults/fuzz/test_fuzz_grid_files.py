"""Files of published grids that are damaged or odd."""

from pathlib import Path

import pytest

from tests.faults.fuzz.grid_file_kinds import KINDS
from tests.faults.fuzz.harness import fuzz


@pytest.mark.parametrize("name", KINDS)
def test_no_grid_file_breaks_the_program(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fuzz(name, KINDS[name], tmp_path, capfd)
