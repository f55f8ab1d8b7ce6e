"""The parts of an evaluation: rows judged in blocks, each kept beside the run until all are there.

A part is a file that is whole or absent, named by what it is of, in a folder named by all that
shapes it; one that is damaged or of something else is made again. Blocks are whole batches from the
first row on, and a batch is judged alike in whatever block and by whatever process: cut off and
gone on with, by one process or by many, an evaluation comes out the same.
"""

import io
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from simlib.artifact import write_bytes
from simlib.dataset.tasks import Task
from simlib.errors import InputError
from simlib.location import Location

PARTS = "judging"  # folder of a run
PARTS_VERSION = 2  # raised by hand when a part of the same rows holds other things
BATCH = 256  # rows that are judged together
BLOCK = 2 * BATCH  # rows of a part
_TRIES = 4  # to read all parts, and make what does not read back
_STALE_S = 86400.0  # after which parts that nobody adds to are forgotten
_SEAL = 32  # bytes of a digest
SUM = "_sum"  # ends the names of what is added up over parts; all else has its rows
REASON = "reason"  # why there is nothing else in a part

Arrays = dict[str, np.ndarray]
Does = Callable[[str, tuple[int, ...]], int]  # of a kind, blocks that start there; returns rows
Spread = Callable[[Does, Sequence[Task], Callable[[int], None]], None]
Progress = Callable[[int, int, int], None]  # parts done, parts in all, rows of the last


def in_turn(does: Does, tasks: Sequence[Task], done: Callable[[int], None]) -> None:
    """Do all of some work in this process; `done` gets what each task returns as it ends."""
    for task in tasks:
        done(does(task.split, task.starts))


@dataclass(frozen=True)
class Parts:
    """Where the parts of one evaluation are: `<run>/judging/<identity>`. block: rows of a part."""

    run: Location
    identity: str
    block: int

    @property
    def folder(self) -> Location:
        """Return their folder."""
        return self.run / PARTS / self.identity

    def tasks(self, rows: dict[str, int]) -> list[Task]:
        """Return what is to be made of each kind."""
        return [
            Task(kind, (start,), min(start + self.block, count))
            for kind, count in rows.items()
            for start in range(0, count, self.block)
        ]

    def read(self, kind: str, start: int, stop: int) -> Arrays | None:
        """Return a part; None where there is none that can be used."""
        data = (self.folder / _name(kind, start, stop)).read_bytes()
        if data is None or data[:_SEAL] != self._seal(kind, start, stop, data[_SEAL:]):
            return None
        with np.load(io.BytesIO(data[_SEAL:])) as held:
            return dict(held)

    def write(self, kind: str, start: int, stop: int, arrays: Arrays) -> None:
        """Keep a part, in place of one that is there."""
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        data = file.getvalue()
        place = self.folder / _name(kind, start, stop)
        for is_last in (False, True):
            try:
                return write_bytes(place, self._seal(kind, start, stop, data) + data)
            except FileNotFoundError:  # another evaluation, which is finished, cleared the folder
                if is_last:
                    raise

    def _seal(self, kind: str, start: int, stop: int, data: bytes) -> bytes:
        """Return a digest of a part, and of what it is of: a copy of another one is none."""
        name = f"{self.identity}/{_name(kind, start, stop)}"
        return sha256(name.encode() + b"\n" + data).digest()

    def clear(self) -> None:
        """Remove these parts, and those of other evaluations that nobody adds to any more."""
        above = self.run / PARTS
        with suppress(OSError):  # another clears them too, or writes there
            for name in above.names():
                written = [file.written or 0.0 for file in (above / name).files().values()]
                if name == self.identity or time.time() - max(written, default=0.0) > _STALE_S:
                    (above / name).remove()
            if not above.names():
                above.remove()


def _name(kind: str, start: int, stop: int) -> str:
    return f"{kind}-{start:08d}-{stop:08d}.part"


def make_parts(
    parts: Parts,
    does: Does,
    tasks: Sequence[Task],
    spread: Spread,
    ready: Callable[[Arrays, int], None],
    done: Callable[[int], None],
) -> dict[str, Arrays]:
    """Return the parts of each kind joined, once all are there; those that are not are made.

    ready: is told each part that is there already, and its rows; done: the rows of each that is
    made. Raises InputError where they do not read back.
    """
    for attempt in range(_TRIES):
        found = {task: parts.read(task.split, task.starts[0], task.stop) for task in tasks}
        todo = [task for task, part in found.items() if part is None]
        if not attempt:
            for task, part in found.items():
                if part is not None:
                    ready(part, task.stop - task.starts[0])
        if not todo:
            return {
                kind: joined([part for task, part in found.items() if task.split == kind and part])
                for kind in dict.fromkeys(task.split for task in tasks)
            }
        random.shuffle(todo)  # evaluations at once share the work: few parts are made by both
        spread(does, todo, done if not attempt else _untold)
    raise InputError(
        f"parts in {parts.folder} do not read back as they were written; see what is wrong with "
        "the disk, or what else removes them"
    )


def _untold(rows: int) -> None:
    """Say nothing of what is made a second time."""


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Return parts in their order as one: rows behind rows, sums added up.

    Where one of them only says why there is nothing, so does the whole.
    """
    if reasons := [part for part in parts if REASON in part]:
        return reasons[0]
    return {
        name: np.asarray(sum(part[name] for part in parts))
        if name.endswith(SUM)
        else np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }


def said(part: Arrays) -> str | None:
    """Return why there is nothing in a part, None where there is."""
    return str(part[REASON]) if REASON in part else None


def named(prefix: str, arrays: Mapping[str, Any]) -> Arrays:
    """Return arrays under longer names."""
    return {f"{prefix}{name}": np.asarray(array) for name, array in arrays.items()}


def under(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays that `named` gave these names, by their own."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
