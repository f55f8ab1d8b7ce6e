"""Work for a fan-out's tests, found by worker processes under its name."""

import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from threading import Event
from typing import ClassVar

from distributed import LocalCluster, get_worker

from simlib.dataset.worker import waiting


def serve(address: Connection) -> None:
    """Be a scheduler with a worker, until killed."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://",
        host="127.0.0.1", dashboard_address=None,
    ) as cluster:  # fmt: skip
        address.send(cluster.scheduler_address)
        signal.pause()


class Waits:
    """Work of this process that waits, apart from its worker's place, until it may end."""

    begun: ClassVar[Queue[int]] = Queue()
    may_end: ClassVar[Event] = Event()
    inside: ClassVar[list[int]] = []
    most: ClassVar[list[int]] = []

    def __call__(self, split: str, starts: tuple[int, ...]) -> int:
        self.begun.put(starts[0])
        with waiting():
            self.inside.append(starts[0])
            self.most.append(len(self.inside))
            assert self.may_end.wait(20)
            self.inside.remove(starts[0])
        with waiting():  # what is tried once more
            return starts[0]


def first_rows(split: str, starts: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    return split, starts


def worker_name(split: str, starts: tuple[int, ...]) -> str:
    return str(get_worker().name)


@dataclass(frozen=True)
class Heavy:
    """Work that brings much along, as a config and a grid would."""

    ballast: str = field(default="ballast" * 100_000, repr=False)

    def __call__(self, split: str, starts: tuple[int, ...]) -> int:
        return len(self.ballast) + starts[0]


@dataclass(frozen=True)
class StopsItsWorker:
    """Work whose first task stops the process that it is in, without ending it."""

    folder: Path

    def __call__(self, split: str, starts: tuple[int, ...]) -> int:
        try:
            (self.folder / "stopped").touch(exist_ok=False)
        except FileExistsError:
            return starts[0]
        (self.folder / "pid").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
        return -1  # of a worker that was started anew, nothing is heard


@dataclass(frozen=True)
class TakesMemory:
    """Work that takes more memory than its worker may have, and waits for what comes of it."""

    size: int

    def __call__(self, split: str, starts: tuple[int, ...]) -> None:
        taken = bytearray(self.size)
        taken[::4096] = b"x" * len(taken[::4096])
        time.sleep(60)
