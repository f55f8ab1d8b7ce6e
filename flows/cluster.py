"""A Dask client for the fan-out: on a cluster made for the run, or on a running one."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from flows.config import Cluster
from simlib import cache
from simlib.errors import InputError

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 20


@contextmanager
def dask_client(cluster: Cluster) -> Iterator[Client]:
    """Yield a client and close what was opened for it.

    Raises InputError when nothing answers at `cluster.address`.
    """
    if cluster.address is not None:
        with _running(cluster.address) as client:
            yield client
        return
    host = cluster.dashboard.rpartition(":")[0]
    settings: dict[str, Any] = {"distributed.scheduler.allowed-failures": 5}
    if host:  # Dask would print this machine's outer address, where nothing listens
        settings["distributed.dashboard.link"] = f"http://{host}:{{port}}/status"
    with dask.config.set(settings), _local(cluster) as made:
        log.info("%d workers  dashboard %s", len(made.workers), made.dashboard_link)
        with Client(made) as client:
            yield client


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
    cores = len(os.sched_getaffinity(0))
    workers = cluster.workers or cores
    as_processes = cluster.kind == "local"
    cache.writable("numba")  # where it cannot be, that is told here, not by each worker
    with warnings.catch_warnings():  # a dashboard port in use is not worth a word
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        return LocalCluster(
            n_workers=workers if as_processes else 1,
            threads_per_worker=1 if as_processes else workers,
            processes=as_processes,
            host="127.0.0.1" if as_processes else None,  # threads need no address
            dashboard_address=cluster.dashboard,
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # a task's error comes back to us, which tells it once
        )
