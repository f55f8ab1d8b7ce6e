"""The scheduler's load: 20,000 tasks that do nothing, sent and followed as a build's are.

`python -m tests.bench scheduler`. Two worker processes; scheduler and client are in this process,
so that its processor time is what a task costs besides the work itself.
"""

import os
import pickle
import time

from simlib.dataset.fan_out import fan_out
from simlib.dataset.plan import MOST_TASKS
from simlib.dataset.scheduler_load import nothing
from simlib.dataset.tasks import Task
from simlib.dataset.watch import Patience
from simlib.dataset.worker import run as task_run

COMMAND = "python -m tests.bench scheduler"


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    from flows.cluster import dask_client
    from flows.cluster_config import Cluster

    tasks = [Task("train", (1024 * n,), 1024 * (n + 1)) for n in range(MOST_TASKS)]
    times: list[float] = []
    with dask_client(Cluster(workers=2, dashboard="127.0.0.1:0")) as client:
        fan_out(client, "simulate", "warm", nothing, tasks[:100], Patience(), lambda _: None)
        load, busy, begun = os.getloadavg()[0], time.process_time(), time.monotonic()
        fan_out(client, "simulate", "bench", nothing, tasks, Patience(),
                lambda _: times.append(time.monotonic()))  # fmt: skip
        seconds, busy = time.monotonic() - begun, time.process_time() - busy
    if len(times) != len(tasks):
        raise RuntimeError(f"{len(times)} of {len(tasks)} tasks were told")
    size = len(pickle.dumps((task_run, ("demo-01234567-89abcdef", "train", (12288,)))))
    told = f"{len(tasks)} tasks in {seconds:.1f} s, the first told after {times[0] - begun:.1f} s"
    return [
        {
            "name": "build.scheduler_tasks_per_s",
            "value": round(len(tasks) / seconds, 1),
            "unit": "tasks/s",
            "against": f"{told}; two workers; machine's load before {load:.1f}",
            "command": COMMAND,
        },
        {
            "name": "build.scheduler_ms_per_task",
            "value": round(1e3 * busy / len(tasks), 3),
            "unit": "ms",
            "against": "processor time of scheduler and client together, of one core",
            "command": COMMAND,
        },
        {
            "name": "build.task_bytes",
            "value": size,
            "unit": "B",
            "against": "a task's function and arguments, pickled; the config is in none",
            "command": COMMAND,
        },
    ]
