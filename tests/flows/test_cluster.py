"""The Dask client: on this machine, or on a cluster that is running."""

import os
import socket
import threading
import urllib.request
from contextlib import suppress

import dask
import psutil
import pytest
from distributed import LocalCluster

from flows.cluster import dask_client
from flows.config import Cluster, load_config
from simlib.dataset.manifest import dataset_fingerprint
from simlib.errors import InputError
from simlib.stellar import open_grid
from trainlib.runs import run_fingerprint


def test_a_running_cluster_is_used_and_left_running() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as running:
        for _ in range(2):
            with dask_client(Cluster(address=running.scheduler_address)) as client:
                (worker,) = client.run(os.getpid).values()
                assert worker != os.getpid()
                assert client.submit(sum, [1, 2]).result(30) == 3


@pytest.mark.parametrize("kind", ["local", "threads"])
def test_a_local_cluster_has_its_workers_and_a_dashboard_that_answers(kind: str) -> None:
    section = Cluster(kind=kind, workers=2, dashboard="127.0.0.1:0")  # type: ignore[arg-type]
    with dask_client(section) as client:
        assert sum(client.nthreads().values()) == 2
        assert len(set(client.run(os.getpid).values())) == (2 if kind == "local" else 1)
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert dask.config.get("distributed.scheduler.allowed-failures") == 5
        us = psutil.Process()
        for process in (us, *us.children(recursive=True)):
            listening = [at for at in process.net_connections() if at.status == psutil.CONN_LISTEN]
            assert {at.laddr.ip for at in listening} <= {"127.0.0.1"}, process.cmdline()
        with urllib.request.urlopen(client.dashboard_link, timeout=20) as page:
            assert page.status == 200


def test_nothing_at_the_address_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cluster._CONNECT_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(InputError, match=f"no Dask scheduler answers at .*{address}"),
        dask_client(Cluster(address=address)),
    ):
        pass


CLUSTER = {"kind": "threads", "address": "tcp://127.0.0.1:9", "workers": 3, "dashboard": ":0"}


def test_where_it_is_computed_is_no_part_of_what_is_computed() -> None:
    assert set(CLUSTER) == set(Cluster.model_fields)
    grid = open_grid("default")
    usual = load_config("tiny")
    for key, value in CLUSTER.items():
        moved = load_config("tiny", [f"cluster.{key}={value}"])
        assert moved.cluster != usual.cluster
        assert dataset_fingerprint(moved, grid) == dataset_fingerprint(usual, grid), key
        assert run_fingerprint(moved, "x") == run_fingerprint(usual, "x"), key


ENDS = ("well", "with an error", "interrupted")


def held() -> tuple[set[int], set[int], set[int]]:
    """Return the processes below this one, its threads that are not daemons, the ports it holds."""
    me = psutil.Process()
    listening = {c.laddr.port for c in me.net_connections("tcp") if c.status == "LISTEN"}
    threads = {t.ident for t in threading.enumerate() if not t.daemon and t.ident}
    return {child.pid for child in me.children(recursive=True)}, threads, listening


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("local", "with an error"), *(("threads", end) for end in ENDS),
     *(pytest.param("local", end, marks=pytest.mark.slow) for end in ("well", "interrupted"))],
)  # fmt: skip
def test_nothing_of_a_cluster_is_left_however_its_use_ends(kind: str, ends: str) -> None:
    section = Cluster(kind=kind, workers=1, dashboard="127.0.0.1:0")  # type: ignore[arg-type]
    errors = {"with an error": ZeroDivisionError, "interrupted": KeyboardInterrupt}
    with dask_client(section):
        pass  # what a first cluster leaves for the next, e.g. the event loop's thread
    before = held()
    with suppress(*errors.values()), dask_client(section) as client:
        mine = tuple(now - then for now, then in zip(held(), before, strict=True))
        workers = set(client.run(os.getpid).values())
        if kind == "local":
            assert workers <= mine[0]
        assert mine[2], "the dashboard listens"
        if ends != "well":
            raise errors[ends]
    psutil.wait_procs([psutil.Process(pid) for pid in mine[0] if psutil.pid_exists(pid)], 10)
    after = held()
    for now, then, meanwhile in zip(after, before, mine, strict=True):
        assert not now - then
        assert not now & meanwhile
    assert client.status == "closed"


def test_a_client_of_a_running_cluster_is_closed_and_the_cluster_is_not() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://",
        dashboard_address=None, host="127.0.0.1",
    ) as running:  # fmt: skip
        clients = set(running.scheduler.clients)
        with dask_client(Cluster(address=running.scheduler_address)) as client:
            assert set(running.scheduler.clients) - clients
        assert client.status == "closed"
        assert running.scheduler.status.name == "running"
