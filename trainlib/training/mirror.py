"""Where a run is trained: in its directory, or, of one behind a URL, in a folder of the cache.

What grows there is sent by the launcher, each file whole: the log before the checkpoint that goes
on from it, the manifest last, so that a run can be gone on with from behind the URL on any machine
and at any time. Training waits for none of it, and goes on while the store does not answer. What a
kill kept from being sent is found by the next start on the same machine: the checkpoint with more
steps, there or here, is gone on from. The folder goes when all of it was sent in the end.
"""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from simlib import cache
from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.lease import leased
from simlib.location import Location
from simlib.retry import persist
from trainlib import runs
from trainlib.training.events import FOLDER
from trainlib.training.log import LOG
from trainlib.training.seal import sealed_digest
from trainlib.training.state import load_newest, load_state

log = logging.getLogger(__name__)

OUTPUT = "train.log"  # what the ranks print
_LEASE = "lease.json"
_FIRST, _LAST = (runs.CONFIG, LOG, OUTPUT), (runs.BEST, runs.CHECKPOINT, runs.MANIFEST)
_EVERY_S, _MOST_S = 1.0, 60.0
_CPU = torch.device("cpu")


class Mirror:
    """A run's directory, and the folder of this machine that it is trained in."""

    def __init__(self, run: Location, folder: Path, is_lost: threading.Event) -> None:
        self.run, self.folder, self.is_lost = run, folder, is_lost
        self._sent: dict[str, tuple[int, ...]] = {}

    def fetch(self, fingerprint: str) -> None:
        """Take what is behind the URL where it was trained further there than here."""
        there = sealed_digest(self.run / runs.CHECKPOINT)
        here = sealed_digest(Location.of(self.folder) / runs.CHECKPOINT)
        if not (self.run / runs.CHECKPOINT).exists() or (there is not None and there == here):
            return
        steps = load_state(self.run / runs.CHECKPOINT, fingerprint, _CPU).state.step
        if here is not None and _steps(self.folder, fingerprint) >= steps:
            log.info("%s goes on from what is in %s: it was not sent yet", self.run, self.folder)
            return
        for name in (LOG, runs.BEST, runs.CHECKPOINT):
            if (data := (self.run / name).read_bytes()) is not None:
                write_bytes(Location.of(self.folder) / name, data)

    def send(self) -> None:
        """Send what has changed since it was sent last. Raises InputError for a lost lease."""
        changed = {}
        events = sorted(f"{FOLDER}/{path.name}" for path in (self.folder / FOLDER).glob("*"))
        names = (*_FIRST, *events, *_LAST)  # in this order
        for name in reversed(names):  # what is read first is never ahead of what is sent before it
            path = self.folder / name
            try:
                with path.open("rb") as file:
                    about = os.fstat(file.fileno())
                    mark = (about.st_ino, about.st_size, about.st_mtime_ns)
                    if self._sent.get(name) != mark:
                        changed[name] = mark, file.read()
            except FileNotFoundError:
                continue
        for name in filter(changed.__contains__, names):
            if self.is_lost.is_set():
                raise InputError(
                    f"{self.run} was taken over by another process while the store did not answer; "
                    "let that one go on, or stop it and train again"
                )
            mark, data = changed[name]
            write_bytes(self.run / name, data)
            self._sent[name] = mark

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send what changes from time to time, and all of it in the end."""
        if self.run.is_local:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._send_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            persist(f"the run {self.run}", self.send)

    def _send_until(self, ended: threading.Event) -> None:
        pause = _EVERY_S
        while not ended.wait(pause):
            try:
                self.send()
                pause = _EVERY_S
            except Exception as error:  # told in the end, where it stays
                pause = min(2.0 * pause, _MOST_S)
                log.warning("%s was not sent: %s; once more in %g s", self.run, error, pause)


@contextmanager
def mirrored(run: Location, fingerprint: str) -> Iterator[Mirror]:
    """Yield where to train a run; one behind a URL is held until then.

    Raises InputError where another process trains it, or where its checkpoint is damaged.
    """
    if run.is_local:
        yield Mirror(run, run.path, threading.Event())
        return
    place = hashlib.sha256(run.url.encode()).hexdigest()[:16]
    folder = cache.writable("runs") / f"{run.name}-{place}"
    with leased(run / _LEASE, f"the run directory {run}") as is_lost:
        if runs.find_manifest(run) is None:  # it was never begun, or removed
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        mirror = Mirror(run, folder, is_lost)
        mirror.fetch(fingerprint)
        yield mirror
        shutil.rmtree(folder, ignore_errors=True)


def _steps(folder: Path, fingerprint: str) -> int:
    """Return the steps of a checkpoint, -1 for one that cannot be used."""
    try:
        newest = load_newest(folder, fingerprint, _CPU)
        return newest.state.step if newest else -1
    except InputError as error:
        log.warning("%s", error)
        return -1
