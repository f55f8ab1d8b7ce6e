"""Whether a worker hangs: a task that takes far longer than others did is given to another worker.

Seen from the client, so that it works on any cluster. A worker that was stopped, or waits for a
disk that never answers, still has its connection; nobody else would notice for minutes, or at all.
"""

import logging
import time
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from distributed import Client

log = logging.getLogger(__name__)

_RESTART_S = 30.0


@dataclass(frozen=True)
class Patience:
    """How long a task may take: `factor` times the slowest so far, never less than `floor_s`.

    first_s: while none has ended; a worker's first task may compile and make set-ups.
    """

    factor: float = 20.0
    floor_s: float = 120.0
    first_s: float = 1800.0

    def limit_s(self, slowest: float | None) -> float:
        """Return the seconds, where the slowest task so far took as many as given."""
        if slowest is None:
            return max(self.first_s, self.floor_s)
        return max(self.factor * slowest, self.floor_s)


class Watch:
    """Notes for how long tasks have been with the workers that have them, look by look."""

    def __init__(self, client: Client, keys: Collection[Hashable], patience: Patience) -> None:
        self._client = client
        self._waiting = set(keys)
        self._patience = patience
        self._slowest: float | None = None
        self._ages: dict[tuple[str, Hashable], float] = {}

    def note(self, key: Hashable, seconds: float) -> None:
        """Take to the notes that a task has ended, and how long it took."""
        self._waiting.discard(key)
        self._slowest = max(seconds, self._slowest or 0.0)

    def look(self, elapsed: float) -> list[str]:
        """Return the workers that hang, after `elapsed` seconds more; they are started anew."""
        held = {
            (worker, key)
            for worker, keys in self._client.processing().items()
            for key in map(_as_key, keys)
            if key in self._waiting
        }
        self._ages = {at: self._ages.get(at, -elapsed) + elapsed for at in held}
        limit = self._patience.limit_s(self._slowest)
        hanging = {worker: key for (worker, key), age in self._ages.items() if age > limit}
        for worker, key in hanging.items():
            log.warning(
                "worker %s has had %s for more than %.0f s (the slowest so far took %s): it is "
                "started anew, its blocks go to others",
                worker, " ".join(map(str, key[:2])) if isinstance(key, tuple) else key, limit,
                "none has ended" if self._slowest is None else f"{self._slowest:.1f} s",
            )  # fmt: skip
        if hanging:
            self._restart(list(hanging))
        return list(hanging)

    def _restart(self, workers: list[str]) -> None:
        """Have the workers' nannies start them anew; those without one are dismissed."""
        self._client.sync(
            self._client.scheduler.restart_workers,
            workers=workers,
            timeout=_RESTART_S,
            wait_for_workers=False,
            on_error="return",
            stimulus_id=f"hanging-{time.time()}",
        )


def _as_key(key: Any) -> Hashable:
    return tuple(key) if isinstance(key, list) else key


@contextmanager
def watching(client: Client, keys: Collection[Hashable], patience: Patience) -> Iterator[Watch]:
    """Yield a watch over tasks, which looks now and then from a thread of its own."""
    watch = Watch(client, keys, patience)
    over = Event()
    every = min(5.0, patience.floor_s / 4)
    thread = Thread(target=_look_often, args=(watch, every, over), name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join(_RESTART_S)


def _look_often(watch: Watch, every: float, over: Event) -> None:
    looked = time.monotonic()
    while not over.wait(every):
        now = time.monotonic()
        elapsed = min(now - looked, 2 * every)  # were we stopped, that is no worker's fault
        looked = now
        try:
            watch.look(elapsed)
        except Exception as error:  # the scheduler is busy or gone; who waits for it will know
            log.debug("no look at the workers: %s", error)
