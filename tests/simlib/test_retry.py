"""What may pass is tried again after a pause; what will not is raised at once."""

import errno

import pytest

from simlib import retry
from simlib.errors import InputError
from simlib.retry import persist


class Attempt:
    """Fails with each of these errors in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.made = list(errors), 0

    def __call__(self) -> str:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(retry, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "input/output"), OSError(errno.ESTALE, "stale"), TimeoutError(),
     ConnectionResetError(), OSError("the server is busy")],
)  # fmt: skip
def test_what_may_pass_is_tried_again_with_growing_pauses(
    error: Exception, pauses: list[float]
) -> None:
    attempt = Attempt(error, error)
    assert persist("block 3", attempt) == "done"
    assert attempt.made == 3
    assert pauses == [0.5, 2.0]


@pytest.mark.parametrize(
    "error",
    [InputError("a mistake"), OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota"),
     OSError(errno.EROFS, "read only"), PermissionError("no"), PermissionError(errno.EACCES, "no"),
     FileNotFoundError(errno.ENOENT, "none"), KeyError("x"), ValueError("a bug")],
)  # fmt: skip
def test_what_will_not_pass_is_raised_at_once(error: Exception, pauses: list[float]) -> None:
    attempt = Attempt(error)
    with pytest.raises(type(error)):
        persist("block 3", attempt)
    assert (attempt.made, pauses) == (1, [])


def test_it_is_given_up_in_the_end(pauses: list[float]) -> None:
    attempt = Attempt(*[OSError(errno.EIO, str(number)) for number in range(9)])
    with pytest.raises(OSError, match="3"):
        persist("block 3", attempt)
    assert attempt.made == 4
