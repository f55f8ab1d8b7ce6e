"""What a scheduler takes for the tasks of a build, when nothing is done in them."""

import time
from dataclasses import dataclass

import dask
from distributed import Client, LocalCluster, as_completed

from simlib.dataset.plan import MOST_TASKS


@dataclass(frozen=True)
class Load:
    """Of so many empty tasks: seconds by the clock and of processor time, one worker included."""

    tasks: int
    seconds: float
    processor_seconds: float


def scheduler_load(tasks: int = MOST_TASKS) -> Load:
    """Submit empty tasks, one by one as a build does, to a scheduler in this process."""
    with (
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        started, spent = time.perf_counter(), time.process_time()
        futures = [client.submit(_nothing, number, pure=False) for number in range(tasks)]
        for _ in as_completed(futures, with_results=True, raise_errors=True):
            pass
        return Load(tasks, time.perf_counter() - started, time.process_time() - spent)


def _nothing(number: int) -> int:
    return number
