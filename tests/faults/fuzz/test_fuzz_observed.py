"""Files of observed spectra that are damaged or odd: one message or a whole output, no part."""

import pytest

from tests.faults.fuzz.harness import limits
from tests.faults.fuzz.observed_kinds import complaints
from tests.simlib.spectra.made import FORMATS

QUICK, MANY = range(28), range(28, 160)


@pytest.mark.parametrize("name", FORMATS)
def test_no_file_breaks_the_tool(name: str) -> None:
    with limits():
        assert not complaints(name, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_no_file_of_many_breaks_the_tool(name: str) -> None:
    with limits():
        assert not complaints(name, MANY)
