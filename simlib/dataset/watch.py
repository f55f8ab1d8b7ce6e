"""Whether a worker hangs: a task that takes far longer than others did is given to another worker.

Seen from the client, so that it works on any cluster. A worker that was stopped, or waits for a
disk that never answers, still has its connection; nobody else would notice for minutes, or at all.
"""

import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from distributed import Client, Future

log = logging.getLogger(__name__)

_RESTART_S = 30.0
_MOST_TIMES = 5  # that a task may hang: then it is the task, or what it reads and writes


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
    """Notes for how long tasks have been with the workers that have them, look by look.

    waiting: the futures that have not ended yet, by key; kept up to date by who waits for them.
    hopeless: a task that hung on one worker after another, and was called back for it.
    """

    def __init__(
        self, client: Client, waiting: Mapping[Hashable, Future[Any]], patience: Patience
    ) -> None:
        self.hopeless: Hashable | None = None
        self._client = client
        self._waiting = waiting
        self._patience = patience
        self._slowest: float | None = None
        self._ages: dict[tuple[str, Hashable], float] = {}
        self._times: Counter[Hashable] = Counter()

    def note(self, seconds: float) -> None:
        """Take to the notes how long a task took that has ended."""
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
        if not hanging:
            return []
        self._ages = {at: 0.0 if at[0] in hanging else age for at, age in self._ages.items()}
        there = self._client.scheduler_info(n_workers=-1)["workers"]
        has_others = len(there) > len(hanging)
        lost = [w for w in hanging if has_others or there.get(w, {}).get("nanny")]
        for worker, key in hanging.items():
            log.warning(
                "worker %s has had %s for more than %.0f s (%s): %s",
                worker,
                name_of(key),
                limit,
                "none has ended yet"
                if self._slowest is None
                else f"the slowest so far took {self._slowest:.1f} s",
                "it is started anew, its blocks go to others"
                if worker in lost
                else "there is no other that could take it",
            )
            self._times[key] += worker in lost
            if self._times[key] > _MOST_TIMES and (future := self._waiting.get(key)) is not None:
                self.hopeless = key
                self._client.cancel([future])
        if lost:
            self._restart(lost)
        return lost

    def _restart(self, workers: list[str]) -> None:
        """Have the workers' nannies start them anew; those without one are dismissed."""
        scheduler: Any = self._client.scheduler
        self._client.sync(
            scheduler.restart_workers,
            workers=workers,
            timeout=_RESTART_S,
            wait_for_workers=False,
            on_error="return",
            stimulus_id=f"hanging-{time.time()}",
        )


def name_of(key: Any) -> str:
    """Return what a task is called in messages: what it does, and its rows."""
    return " ".join(map(str, key[:2])) if isinstance(key, tuple) else str(key)


def _as_key(key: Any) -> Hashable:
    return tuple(key) if isinstance(key, list) else key


@contextmanager
def watching(
    client: Client, waiting: Mapping[Hashable, Future[Any]], patience: Patience
) -> Iterator[Watch]:
    """Yield a watch over tasks, which looks now and then from a thread of its own."""
    watch = Watch(client, waiting, patience)
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
