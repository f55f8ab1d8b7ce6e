"""What a worker runs: a task is a name and a few numbers; what they mean reached the worker once.

The scheduler imports this module, so it imports little.
"""

import time
from collections.abc import Callable
from typing import Any

from distributed import WorkerPlugin, get_worker

Does = Callable[[str, tuple[int, ...]], Any]  # of a split, blocks that start there


class Work(WorkerPlugin):
    """Some work on blocks, on every worker of a cluster, also on one that joins late.

    does: it; kept as bytes by the scheduler, which never looks into them.
    """

    idempotent = True  # registered twice, it is sent once

    def __init__(self, name: str, does: Does) -> None:
        self.name = name
        self.does = does


def run(work: str, split: str, starts: tuple[int, ...]) -> tuple[float, Any]:
    """Return the seconds that the work of this name took on some blocks, and what it returned."""
    started = time.monotonic()
    plugin = get_worker().plugins[work]
    assert isinstance(plugin, Work)
    done = plugin.does(split, starts)
    return time.monotonic() - started, done
