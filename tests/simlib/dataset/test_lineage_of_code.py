"""The last step of a lineage: the program, and whether this one would make the same."""

import pytest

from simlib.dataset.lineage import code_step
from simlib.provenance import provenance


@pytest.mark.parametrize(
    ("then", "now", "state", "note"),
    [
        (3, 3, "there", "physics version 3"),
        (2, 3, "replaced", "physics version 2; this program's is 3: it would make something else"),
        (None, None, "there", ""),
    ],
)
def test_another_version_is_told_and_the_same_is_not(
    then: int | None, now: int | None, state: str, note: str
) -> None:
    told = provenance()
    step = code_step(told, "physics", then, now)
    assert (step.kind, step.state, step.note) == ("code", state, note)


def test_another_commit_is_told_with_this_one() -> None:
    told = provenance()
    here = code_step(told, "physics", 3, 3)
    other = code_step(told | {"commit": "f" * 40}, "physics", 3, 3)
    assert other.fingerprint == "f" * 40 and other.state == "there"
    assert other.note == f"physics version 3; here {here.fingerprint}"
