"""Failures of ranks, told to the launcher through files in the run directory."""

import os
import time
from contextlib import suppress
from pathlib import Path

from simlib.artifact import Record, read_record, write_record
from simlib.errors import InputError
from simlib.location import Location

FAILURES = "failures"


class Failure(Record):
    """Why a rank ended. kind: the exception's name; time: in seconds since 1970."""

    rank: int
    kind: str
    message: str
    time: float

    @property
    def is_mistake(self) -> bool:
        """Whether it is a person's mistake, not a failure of ours."""
        return self.kind == InputError.__name__


def report_failure(directory: Path, kind: str, message: str) -> None:
    """Leave the failure of this rank where the launcher looks for it."""
    rank = int(os.environ.get("RANK", "0"))
    failure = Failure(rank=rank, kind=kind, message=message, time=time.time())
    with suppress(OSError):  # a full disk must not hide the failure itself
        write_record(Location.of(directory / FAILURES / f"rank-{rank}.json"), failure)


def read_failures(directory: Path) -> list[Failure]:
    """Return the failures of a start: people's mistakes first, then the earliest."""
    found = []
    for path in (directory / FAILURES).glob("rank-*.json"):
        with suppress(InputError):  # a damaged one must not hide the others
            found.append(read_record(Location.of(path), Failure))
    failures = [failure for failure in found if failure is not None]
    return sorted(failures, key=lambda failure: (not failure.is_mistake, failure.time))


def clear_failures(directory: Path) -> None:
    """Forget the failures of earlier starts."""
    for path in (directory / FAILURES).glob("rank-*.json"):
        path.unlink(missing_ok=True)
