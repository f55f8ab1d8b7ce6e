"""Files of observed spectra that are damaged or odd: one message or a whole output, no part."""

from pathlib import Path

import pytest

from tests.faults.fuzz.harness import fuzz
from tests.faults.fuzz.observed_kinds import KINDS, kinds


@pytest.mark.parametrize("name", KINDS)
def test_no_file_breaks_the_tool(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fuzz(name, KINDS[name], tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_file_of_many_breaks_the_tool(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fuzz(name, kinds(160)[name], tmp_path, capfd)
