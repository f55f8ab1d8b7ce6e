"""What a scheduler takes for the tasks of a build, when nothing is done in them."""

import time
from dataclasses import dataclass

import dask
from distributed import Client, LocalCluster

from simlib.dataset.fan_out import fan_out
from simlib.dataset.plan import MOST_TASKS
from simlib.dataset.tasks import Task
from simlib.dataset.watch import Patience


@dataclass(frozen=True)
class Load:
    """Of so many empty tasks: seconds by the clock and of processor time, one worker included."""

    tasks: int
    seconds: float
    processor_seconds: float


def scheduler_load(tasks: int = MOST_TASKS) -> Load:
    """Send tasks that do nothing to a scheduler in this process, as a build sends its own."""
    with (
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        empty = [Task("train", (number,), number + 1) for number in range(tasks)]
        started, spent = time.perf_counter(), time.process_time()
        fan_out(client, "simulate", "nothing", nothing, empty, Patience(), lambda _: None)
        return Load(tasks, time.perf_counter() - started, time.process_time() - spent)


def nothing(split: str, starts: tuple[int, ...]) -> list[int]:
    """Return what a block's task returns, without having made a block."""
    return [1] * len(starts)
