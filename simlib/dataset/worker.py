"""What a worker runs: a task is a name and a few numbers; what they mean reached the worker once.

The scheduler imports this module, so it imports little.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker, secede

Does = Callable[[str, tuple[int, ...]], Any]  # of a split, blocks that start there


class Work(WorkerPlugin):
    """Some work on blocks, on every worker of a cluster, also on one that joins late.

    does: it; kept as bytes by the scheduler, which never looks into them.
    """

    idempotent = True  # registered twice, it is sent once

    def __init__(self, name: str, does: Does) -> None:
        self.name = name
        self.does = does

    def setup(self, worker: Worker) -> None:
        """Let one task more wait for what it writes than the worker is at."""
        self.waiting = threading.BoundedSemaphore(worker.state.nthreads + 1)


def run(work: str, split: str, starts: tuple[int, ...]) -> tuple[float, Any]:
    """Return the seconds that the work of this name took on some blocks, and what it returned."""
    started = time.monotonic()
    plugin = get_worker().plugins[work]
    assert isinstance(plugin, Work)
    _at.work, _at.is_apart = plugin, False
    done = plugin.does(split, starts)
    return time.monotonic() - started, done


_at = threading.local()  # the work that a thread is at, and whether it left its place to another


@contextmanager
def waiting() -> Iterator[None]:
    """Let the worker begin its next task while this one, at its end, waits for a disk or a store.

    Of tasks that wait there is never more than one beyond the worker's threads, so that memory is
    bounded; the next one waits until there is room. What is no task of a worker just goes on.
    """
    plugin: Work | None = getattr(_at, "work", None)
    if plugin is None:
        yield
        return
    with plugin.waiting:
        if not _at.is_apart:
            _at.is_apart = True
            secede()
        yield
