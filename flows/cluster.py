"""A Dask client for the fan-out: on a cluster made for the run, or on a running one."""

import logging
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from flows.cluster_config import Cluster
from flows.cluster_kubernetes import kubernetes_cluster
from flows.cluster_slurm import slurm_cluster
from flows.dask_settings import ENVIRONMENT, SETTINGS
from flows.main_guard import refuse_unguarded_script
from simlib import cache
from simlib.errors import InputError
from simlib.processes import usable_cores

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 20
_MEMORY_GB = 2.0  # of a worker, where the config says nothing and the machine has it
_SHARE = 0.9  # of a machine's memory, for all workers together
_SHARED_GB = 0.5  # of stellar grid and templates, mapped: there once, counted in every worker
_OWN_GB = 0.9  # the least that a worker of this machine should have beside, to be one more


@contextmanager
def dask_client(cluster: Cluster) -> Iterator[Client]:
    """Yield a client and close what was opened for it.

    Raises InputError when nothing answers at `cluster.address`, or no cluster can be made.
    """
    if cluster.address is not None:
        with _running(cluster.address) as client:
            yield client
        return
    # a worker takes no file of the working folder for a module of Python's that is named alike
    own = ENVIRONMENT | {"PYTHONSAFEPATH": "1"}
    settings = SETTINGS | {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in own.items()}
    host = cluster.dashboard.rpartition(":")[0]
    if host and cluster.kind != "kubernetes":
        # Dask would print this machine's outer address, where nothing listens
        settings["distributed.dashboard.link"] = f"http://{host}:{{port}}/status"
    if cluster.kind != "threads":
        settings["distributed.worker.preload"] = ["flows.circles"]
    with dask.config.set(settings), _own_environment(), _made(cluster) as made:
        _set_workers(made, cluster)
        log.info("%s  dashboard %s", _size(cluster), made.dashboard_link)
        with Client(made) as client:
            yield client


@contextmanager
def _own_environment() -> Iterator[None]:
    """Give variables the values again that they had: Dask sets its workers' here too."""
    before = dict(os.environ)
    try:
        yield
    finally:
        named = dask.config.get("distributed.nanny.pre-spawn-environ", {})
        for name in (*named, "PYTHONHASHSEED", "__DASK_PARENT_PID"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def worker_memory_gb(cluster: Cluster, usual: float = _MEMORY_GB) -> float:
    """Return the memory that a worker may take: what is set, or what is usual, if it is there."""
    if cluster.memory_gb is not None:
        return cluster.memory_gb
    if cluster.is_elsewhere:
        return usual
    return min(usual, _SHARED_GB + _room_gb() / worker_count(cluster))


def worker_count(cluster: Cluster) -> int:
    """Return how many workers there are to be; the most, where they come and go."""
    if cluster.most_workers is not None:
        return cluster.most_workers
    if cluster.kind != "local" or cluster.memory_gb is not None:
        return usable_cores()
    return max(1, min(usable_cores(), int(_room_gb() / _OWN_GB)))


def _room_gb() -> float:
    """Return what the workers of this machine may take together, beside what they share."""
    return max(_SHARE * MEMORY_LIMIT / 1e9 - _SHARED_GB, 0.0)


def _made(cluster: Cluster) -> Any:
    """Return a new cluster of the kind that is asked for."""
    if cluster.kind == "slurm":
        if shutil.which("sbatch") is None:
            raise InputError(
                "cluster.kind = 'slurm' needs sbatch, which this machine does not have; start this "
                "on a login node, or leave cluster.kind out to use this machine"
            )
        with _extra("slurm"):
            return slurm_cluster(cluster, worker_memory_gb(cluster))
    if cluster.kind == "kubernetes" and cluster.kubernetes is not None:
        with _extra("kubernetes"):
            try:
                return kubernetes_cluster(cluster, cluster.kubernetes, worker_memory_gb(cluster))
            except ModuleNotFoundError:
                raise
            except Exception as error:  # many, of several libraries
                raise InputError(
                    "cluster.kind = 'kubernetes': no cluster could be made "
                    f"({type(error).__name__}: {error}); check that `kubectl get daskclusters -n "
                    f"{cluster.kubernetes.namespace}` works from here and that the Dask operator "
                    "is installed there"
                ) from None
    return _local(cluster)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"cluster.kind = {name!r} needs the package {error.name!r}, which is not installed; "
            f"pip install 'specdenoise[{name}]'"
        ) from None


def _set_workers(made: Any, cluster: Cluster) -> None:
    """Ask for workers; a local cluster without `adaptive` was made with them."""
    if cluster.adaptive is not None:
        made.adapt(minimum=cluster.adaptive[0], maximum=cluster.adaptive[1])
    elif cluster.kind in ("slurm", "kubernetes"):
        made.scale(worker_count(cluster))


def _size(cluster: Cluster) -> str:
    if cluster.adaptive is not None:
        count = f"{cluster.adaptive[0]} to {cluster.adaptive[1]} workers"
    else:
        number = worker_count(cluster)
        count = f"{number} {'threads' if cluster.kind == 'threads' else 'workers'}"
    if cluster.kind == "threads":
        return count
    return f"{count} of {worker_memory_gb(cluster):.3g} GB"


def threads_or(address: str | None, workers: int | None) -> Cluster:
    """Return the cluster at the address, or threads of this process.

    For work that leaves the interpreter's lock: no process has to start.
    """
    if address is not None:
        return Cluster(address=address)
    return Cluster(kind="threads", workers=workers)


def _running(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at cluster.address = {address!r} ({error}); start one with "
            "`dask scheduler`, or leave the address out to use this machine"
        ) from None


def _local(cluster: Cluster) -> LocalCluster:
    as_processes = cluster.kind == "local"
    if as_processes:
        refuse_unguarded_script()
    workers = cluster.adaptive[0] if cluster.adaptive else worker_count(cluster)
    memory = round(1e9 * worker_memory_gb(cluster)) if as_processes else 0
    cache.writable("numba")  # where it cannot be, that is told here, not by each worker
    alone = _no_key_press_for_workers() if as_processes else nullcontext()
    with alone, warnings.catch_warnings():
        # a dashboard port in use is not worth a word
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        return LocalCluster(
            n_workers=workers if as_processes else 1,
            threads_per_worker=1 if as_processes else workers,
            processes=as_processes,
            memory_limit=memory,  # 0: none; threads are bounded by the blocks they are at
            host="127.0.0.1" if as_processes else None,  # threads need no address
            dashboard_address=cluster.dashboard,
            # a page of its own would cost each process a third of a second, and tell little more
            worker_dashboard_address=None if as_processes else "127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # a task's error comes back to us, which tells it once
        )


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """Let what clears up after ended processes do so without a word: it has the last one here."""
    before = os.environ.get("PYTHONWARNINGS")
    ours = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ["PYTHONWARNINGS"] = f"{before},{ours}" if before else ours
    try:
        yield
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def _no_key_press_for_workers() -> Iterator[None]:
    """Let Ctrl-C reach this process alone, which ends what it started: no worker has to tell.

    Threads that are made in here, and the processes that these start, have the signal blocked.
    """
    with _quiet_tracker(), _blocked(signal.SIGHUP):  # of those that end us, all it does not ignore
        resource_tracker.ensure_running()  # first: it lets Ctrl-C in again where it is started
    with _blocked(signal.SIGINT):
        yield


@contextmanager
def _blocked(sign: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {sign})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
