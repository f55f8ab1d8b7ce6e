"""One refresh of a dataset name at a time, whoever starts it, and the record of what each did.

`<root>/refreshes/<name>/` holds a numbered record of each. Who creates the next number holds the
claim, until the record says how it ended, or was not renewed for the time of a lease, or its
process is gone from this machine. Clocks of machines that share a root may differ by less than the
lease. Two that work at once after all, since one of them slept, do the same work twice and harm
nothing: blocks, runs and releases have locks of their own.
"""

import logging
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, PositiveInt

from simlib.artifact import Record, create_record, read_record, write_record
from simlib.dataset.changes import Due
from simlib.dataset.store import readable
from simlib.errors import InputError
from simlib.lease import is_gone
from simlib.location import Location

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BEAT_S = 20.0
_KEPT = 100  # records of a name
_JOIN_S = 60.0
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Held(InputError):
    """Another run does the same work already: nothing is wrong, and nothing is left to do here."""


class Did(BaseModel):
    """A stage of a refresh. planned_s: by the last time, in proportion; None where not known.

    changes: of its inputs, `name: old -> new`. took_s: None where it was not begun.
    """

    model_config = ConfigDict(frozen=True)
    stage: str
    was_due: bool
    reason: str
    changes: tuple[str, ...] = ()
    planned_s: float | None = None
    took_s: float | None = None


class Refresh(Record):
    """Who refreshes, or did, and what was done. renewed: s since 1970. flow_run: Prefect's.

    ended: None while it runs. outcome: in words.
    """

    remedy: ClassVar[str] = "remove it: it only says what was done"
    number: PositiveInt
    token: str
    host: str
    process: PositiveInt
    began: str
    renewed: float
    flow_run: str | None = None
    ended: str | None = None
    has_failed: bool = False
    outcome: str = ""
    stages: tuple[Did, ...] = ()

    @property
    def holder(self) -> str:
        """Return who it is, in words."""
        return f"process {self.process} on {self.host} since {self.began}"

    @property
    def is_held(self) -> bool:
        """Whether it still runs, as far as is known."""
        return self.ended is None and not is_gone(self.host, self.process, self.renewed)


def refreshes_in(root: Location, name: str) -> Location:
    """Return the folder of the records of a dataset name."""
    return root / "refreshes" / name


def last_refresh(root: Location, name: str) -> Refresh | None:
    """Return the record of the last refresh, None where there was none.

    Raises InputError for a damaged one.
    """
    numbers = _numbers(refreshes_in(root, name))
    return _read(refreshes_in(root, name), numbers[-1]) if numbers else None


def recent_refreshes(root: Location, name: str, count: int = 5) -> list[Refresh]:
    """Return the records of the last refreshes that can be read, the newest last."""
    folder = refreshes_in(root, name)
    found = (readable(_record(folder, number), Refresh) for number in _numbers(folder)[-count:])
    return [record for record in found if record is not None]


class Claim:
    """The record of a refresh that runs, kept up while it does."""

    def __init__(self, folder: Location, record: Refresh) -> None:
        self.record = record
        self._place = _record(folder, record.number)
        self._lock = threading.Lock()

    def note(self, **changed: object) -> None:
        """Put something into the record, which is thereby renewed."""
        with self._lock:
            self.record = self.record.model_copy(update={"renewed": time.time(), **changed})
            write_record(self._place, self.record)

    def begin(self, dues: list[Due]) -> None:
        """Note what is to be done."""
        self.note(stages=tuple(map(_did, dues)))

    def timed(self, name: str, stage: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        """Return what a stage returns, and note how long it took."""
        begun = time.monotonic()
        result = stage(*given, **named)
        took = {"took_s": time.monotonic() - begun}
        self.note(
            stages=tuple(
                one.model_copy(update=took) if one.stage == name else one
                for one in self.record.stages
            )
        )
        return result

    def beat(self, stop: threading.Event) -> None:
        """Renew the record until told to stop; what cannot be written now is tried again."""
        while not stop.wait(BEAT_S):
            try:
                self.note()
            except OSError as error:
                log.warning("the claim %s could not be renewed: %s", self._place, error)


@contextmanager
def claimed(root: Location, name: str, flow_run: str | None = None) -> Iterator[Claim]:
    """Hold the claim to refresh a dataset name. Raises Held, with who has it, where it is taken."""
    claim = _take(refreshes_in(root, name), flow_run)
    stop = threading.Event()
    beating = threading.Thread(target=claim.beat, args=(stop,), daemon=True)
    beating.start()
    outcome, has_failed = "interrupted", True
    try:
        yield claim
        outcome, has_failed = claim.record.outcome, False
    except Exception as error:
        outcome = str(error) or type(error).__name__
        raise
    finally:
        stop.set()
        beating.join(_JOIN_S)
        now = time.strftime(_TIME, time.gmtime())
        claim.note(ended=now, outcome=outcome, has_failed=has_failed)


def _take(folder: Location, flow_run: str | None) -> Claim:
    numbers = _numbers(folder)
    last = _read(folder, numbers[-1]) if numbers else None
    if last is not None and last.is_held:
        raise Held(f"held by {last.holder}; wait for it or stop it")
    mine = Refresh(
        number=(numbers or [0])[-1] + 1,
        token=secrets.token_hex(8),
        host=platform.node(),
        process=os.getpid(),
        began=time.strftime(_TIME, time.gmtime()),
        renewed=time.time(),
        flow_run=flow_run,
    )
    taken = create_record(_record(folder, mine.number), mine)
    if taken.token != mine.token:
        raise Held(f"held by {taken.holder}; wait for it or stop it")
    for old in numbers[:-_KEPT]:
        _record(folder, old).remove()
    return Claim(folder, mine)


def _did(due: Due) -> Did:
    changes = tuple(f"{one.name}: {one.old} -> {one.new}" for one in due.changes)
    return Did(
        stage=due.stage,
        was_due=due.is_due,
        reason=due.reason,
        changes=changes,
        planned_s=due.seconds,
    )


def _numbers(folder: Location) -> list[int]:
    found = (re.fullmatch(r"(\d{6})\.json", name) for name in folder.names())
    return sorted(int(match[1]) for match in found if match)


def _read(folder: Location, number: int) -> Refresh | None:
    return read_record(_record(folder, number), Refresh)


def _record(folder: Location, number: int) -> Location:
    return folder / f"{number:06d}.json"
