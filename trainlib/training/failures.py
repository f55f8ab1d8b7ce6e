"""Failures of ranks, told to the launcher through files in the run directory."""

import os
import time
from contextlib import suppress
from pathlib import Path

from simlib.artifact import Record, read_record, write_record
from simlib.errors import InputError, Preempted
from simlib.location import Location

FAILURES = "failures"


class Failure(Record):
    """Why a rank ended. kind: the exception's name; time: in seconds since 1970.

    attempt: how often all ranks were started again before.
    """

    rank: int
    attempt: int = 0
    kind: str
    message: str
    time: float

    @property
    def is_mistake(self) -> bool:
        """Whether it is a person's mistake, not a failure of ours."""
        return self.kind == InputError.__name__

    @property
    def is_preemption(self) -> bool:
        """Whether the rank was told to stop, and where it was is kept."""
        return self.kind == Preempted.__name__


def report_failure(directory: Path, kind: str, message: str) -> None:
    """Leave the failure of this rank where the launcher looks for it."""
    failure = Failure(rank=_rank(), attempt=attempt(), kind=kind, message=message, time=time.time())
    with suppress(OSError):  # a full disk must not hide the failure itself
        write_record(Location.of(_place(directory)), failure)


def forget_failure(directory: Path) -> None:
    """Forget that of this rank's earlier start, of which this one's torchrun knows nothing."""
    _place(directory).unlink(missing_ok=True)


def _place(directory: Path) -> Path:
    return directory / FAILURES / f"rank-{_rank()}.json"


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def read_failures(directory: Path) -> list[Failure]:
    """Return the failures of a start: the last attempt's first, of each people's mistakes first."""
    found = []
    for path in (directory / FAILURES).glob("rank-*.json"):
        with suppress(InputError):  # a damaged one must not hide the others
            found.append(read_record(Location.of(path), Failure))
    failures = [failure for failure in found if failure is not None]
    return sorted(
        failures, key=lambda failure: (-failure.attempt, not failure.is_mistake, failure.time)
    )


def attempt() -> int:
    """Return how often torchrun started all ranks again, since one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def told_before(directory: Path) -> int | None:
    """Return the exit code where the attempt before ended so that another would end the same.

    That is with a person's mistake, or with an exception on every rank. One that was killed tells
    nothing.
    """
    failures = [f for f in read_failures(directory) if f.attempt == attempt() - 1]
    if any(failure.is_mistake for failure in failures):
        return 2
    is_all = len(failures) == int(os.environ.get("WORLD_SIZE", "1"))
    return 1 if failures and is_all else None


def clear_failures(directory: Path) -> None:
    """Forget the failures of earlier starts."""
    for path in (directory / FAILURES).glob("rank-*.json"):
        path.unlink(missing_ok=True)
