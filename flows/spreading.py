"""The parts of an evaluation on the workers of a cluster, where one is asked for, or here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from distributed import Client

from flows.cluster import dask_client, worker_memory_gb
from flows.cluster_config import Cluster
from flows.cluster_view import require_seen
from flows.inputs import inputs_of
from simlib.dataset.fan_out import fan_out
from simlib.dataset.tasks import Task
from simlib.dataset.watch import Patience
from simlib.location import Location
from trainlib.evaluation.parts import Does, Spread, in_turn
from trainlib.runs import dataset_of, read_run

_MEMORY_GB = 4.0  # of a worker, where the config says nothing: 16,384 templates take half of it


@contextmanager
def spread_over(cluster: Cluster, run: Location) -> Iterator[Spread]:
    """Yield what does the parts of a run's evaluation.

    A cluster of this machine's processes counts where it says how many `workers`, or `adaptive`:
    else this process does all. Workers are asked for when there is something for them to do.
    """
    if not (cluster.is_elsewhere or cluster.most_workers) or cluster.kind == "threads":
        yield in_turn
        return
    with ExitStack() as stack:
        clients: list[Client] = []

        def spread(does: Does, tasks: Sequence[Task], done: Callable[[int], None]) -> None:
            if not clients:
                clients.append(_client(stack, cluster, run))
            patience = Patience(cluster.hang_factor, cluster.hang_floor_s)
            fan_out(clients[0], "evaluate", run.name, does, tasks, patience, done)

        yield spread


def _client(stack: ExitStack, cluster: Cluster, run: Location) -> Client:
    """Return a client whose workers see the run and what it was made from."""
    room = {"memory_gb": worker_memory_gb(cluster, _MEMORY_GB)}
    client = stack.enter_context(dask_client(cluster.model_copy(update=room)))
    if cluster.is_elsewhere:
        config, manifest = read_run(run)
        reads = inputs_of(config) | {"its dataset": dataset_of(run, config, manifest)}
        wait_s = None if cluster.address else cluster.wait_s
        require_seen(client, reads, {"the run": run}, wait_s)
    return client
