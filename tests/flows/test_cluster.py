"""The Dask client: on this machine, or on a cluster that is running."""

import os
import socket
import threading
import urllib.request
from contextlib import nullcontext, suppress

import dask
import numpy as np
import psutil
import pytest
from distributed import Event, LocalCluster, Worker

from flows import cluster
from flows.cluster import dask_client
from flows.config import Cluster, load_config
from flows.dask_settings import ENVIRONMENT
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


@pytest.mark.parametrize("kind", [pytest.param("local", marks=pytest.mark.slow), "threads"])
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


async def fill_up_to(share: float, dask_worker: Worker) -> float:
    """Hold memory on a worker, let it look at that, and return its share of the limit."""
    limit, process = dask_worker.memory_manager.memory_limit, psutil.Process()
    dask_worker.held = np.ones(int(share * limit - process.memory_info().rss), np.uint8)  # type: ignore[attr-defined]
    await dask_worker.memory_manager.memory_monitor(dask_worker)  # type: ignore[no-untyped-call]
    return float(process.memory_info().rss / limit)


@pytest.mark.parametrize(
    ("section", "told"),
    [(Cluster(workers=3, memory_gb=0.5), "3 workers of 0.5 GB"),
     (Cluster(adaptive=(1, 2), memory_gb=0.5), "1 to 2 workers of 0.5 GB"),
     (Cluster(kind="threads", workers=3), "3 threads")],
)  # fmt: skip
def test_the_size_of_a_cluster_is_told(section: Cluster, told: str) -> None:
    assert cluster._size(section) == told


def test_a_worker_is_given_its_limit_of_memory() -> None:
    section = Cluster(workers=1, memory_gb=0.75, dashboard="127.0.0.1:0")
    with dask_client(section) as client:
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["memory_limit"] == 750_000_000


def test_a_worker_close_to_its_limit_of_memory_does_not_wait_for_less() -> None:
    section = Cluster(workers=1, memory_gb=0.75, dashboard="127.0.0.1:0")
    with dask_client(section) as client:
        (share,) = client.run(fill_up_to, 0.9).values()
        assert 0.86 < share < 0.94  # where Dask would let it pause
        assert client.submit(sum, [1, 2]).result(30) == 3


@pytest.mark.parametrize(
    ("section", "asked"),
    [(Cluster(adaptive=(2, 9)), {"minimum": 2, "maximum": 9}),
     (Cluster(kind="slurm", adaptive=(1, 9)), {"minimum": 1, "maximum": 9}),
     (Cluster(kind="slurm", workers=7), 7), (Cluster(workers=7), None)],
)  # fmt: skip
def test_workers_are_asked_for_as_the_config_says(
    section: Cluster, asked: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Made:
        asked: object = None
        dashboard_link = "a page"

        def adapt(self, **limits: int) -> None:
            self.asked = limits

        def scale(self, workers: int) -> None:
            self.asked = workers

    made = Made()

    def client(given: object) -> object:
        assert given is made
        return nullcontext("the client")

    monkeypatch.setattr("flows.cluster._made", lambda _: nullcontext(made))
    monkeypatch.setattr("flows.cluster.Client", client)
    with dask_client(section) as yielded:
        assert yielded == "the client"
    assert made.asked == asked


@pytest.mark.slow
def test_an_adaptive_cluster_grows_with_the_work_and_not_beyond() -> None:
    section = Cluster(adaptive=(1, 2), dashboard="127.0.0.1:0")
    with dask_client(section) as client:
        release = Event("go", client=client)
        assert len(client.scheduler_info()["workers"]) == 1
        futures = client.map(wait_for_go, range(20), pure=False)
        client.wait_for_workers(2, timeout=60)
        release.set()
        assert set(client.gather(futures)) == {True}
        assert len(client.scheduler_info()["workers"]) <= 2


def wait_for_go(number: int) -> bool:
    return bool(Event("go").wait(60))


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


CLUSTER = {
    "kind": ["kind=threads"],
    "address": ["address=tcp://127.0.0.1:9"],
    "workers": ["workers=3"],
    "adaptive": ["adaptive=[1, 3]"],
    "memory_gb": ["memory_gb=3"],
    "dashboard": ["dashboard=:0"],
    "wait_s": ["kind=slurm", "wait_s=9"],
    "hang_factor": ["hang_factor=9"],
    "hang_floor_s": ["hang_floor_s=9"],
    "report": ["report=false"],
    "slurm": ["kind=slurm", "slurm.queue=long"],
    "kubernetes": ["kind=kubernetes", "kubernetes.image=some"],
}


def test_where_it_is_computed_is_no_part_of_what_is_computed() -> None:
    assert set(CLUSTER) == set(Cluster.model_fields)
    grid = open_grid("default")
    usual = load_config("tiny")
    for key, overrides in CLUSTER.items():
        moved = load_config("tiny", [f"cluster.{one}" for one in overrides])
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
def test_nothing_of_a_cluster_is_left_however_its_use_ends(
    kind: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENVIRONMENT:  # what a person says goes first, and what Dask left of other tests
        monkeypatch.delenv(name, raising=False)
    section = Cluster(kind=kind, workers=1, dashboard="127.0.0.1:0")  # type: ignore[arg-type]
    environment = dict(os.environ)
    errors = {"with an error": ZeroDivisionError, "interrupted": KeyboardInterrupt}
    with dask_client(section):
        pass  # what a first cluster leaves for the next, e.g. the event loop's thread
    before = held()
    with suppress(*errors.values()), dask_client(section) as client:
        mine = tuple(now - then for now, then in zip(held(), before, strict=True))
        workers = set(client.run(os.getpid).values())
        if kind == "local":
            assert workers <= mine[0]
            for theirs in client.run(lambda: dict(os.environ)).values():
                assert theirs.items() >= ENVIRONMENT.items()
        assert mine[2], "the dashboard listens"
        if ends != "well":
            raise errors[ends]
    psutil.wait_procs([psutil.Process(pid) for pid in mine[0] if psutil.pid_exists(pid)], 10)
    after = held()
    for now, then, meanwhile in zip(after, before, mine, strict=True):
        assert not now - then
        assert not now & meanwhile
    assert client.status == "closed"
    assert dict(os.environ) == environment  # what workers are started with is theirs alone


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
