"""Work sent to a Dask cluster: what travels, and what is done where workers or tasks fail."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import dask
import psutil
import pytest
from distributed import Client, Event, LocalCluster
from distributed.comm.core import CommClosedError

from simlib.dataset.fan_out import fan_out
from simlib.dataset.tasks import Task
from simlib.dataset.watch import Patience, Watch
from simlib.dataset.worker import waiting
from simlib.errors import InputError
from tests.simlib.dataset.fan_out_work import (
    Heavy,
    StopsItsWorker,
    TakesMemory,
    Waits,
    first_rows,
    serve,
    worker_name,
)

CALM = Patience()


def tasks(count: int) -> list[Task]:
    return [Task("train", (10 * n,), 10 * n + 10) for n in range(count)]


@contextmanager
def threads(workers: int = 1) -> Iterator[tuple[LocalCluster, Client]]:
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


@contextmanager
def processes(workers: int, **more: Any) -> Iterator[tuple[LocalCluster, Client]]:
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            host="127.0.0.1",
            **more,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


def test_all_tasks_are_done_and_told_one_by_one() -> None:
    told: list[Any] = []
    both = [*tasks(3), Task("test", (0, 10, 30), 40)]
    with threads() as (cluster, client):
        fan_out(client, "simulate", "some", first_rows, both, CALM, told.append)
        assert sorted(told) == sorted((task.split, task.starts) for task in both)
        fan_out(client, "simulate", "some", first_rows, [], CALM, told.append)
        assert len(told) == 4
        assert not [name for name in cluster.scheduler.worker_plugins if "some" in name]
        assert not [name for w in cluster.workers.values() for name in w.plugins if "some" in name]


def test_the_next_tasks_begin_while_some_wait_but_no_more_than_memory_is_for() -> None:
    """Of a worker of one thread, two that wait; the third is kept from it until one has ended."""
    told: list[int] = []
    with threads() as (_, client), ThreadPoolExecutor(1) as pool:
        given = (client, "simulate", "some", Waits(), tasks(5), CALM, told.append)
        all_done = pool.submit(fan_out, *given)
        assert len({Waits.begun.get(timeout=10) for _ in range(3)}) == 3
        with pytest.raises(Empty):
            Waits.begun.get(timeout=0.2)
        assert told == []
        Waits.may_end.set()
        all_done.result(timeout=20)
    assert sorted(told) == [0, 10, 20, 30, 40] and max(Waits.most) == 2


def test_what_waits_outside_a_worker_just_goes_on() -> None:
    with waiting():
        pass


def test_a_task_carries_a_few_bytes_and_the_scheduler_reads_nothing_of_the_work() -> None:
    work, seen, told = Heavy(), [], []

    with threads() as (cluster, client):

        def done(result: int) -> None:
            told.append(result)
            for key, task in cluster.scheduler.tasks.items():
                assert key[0] == "simulate train"
                if task.run_spec is not None:
                    seen.append(len(pickle.dumps(task.run_spec)))
            (plugin,) = (p for n, p in cluster.scheduler.worker_plugins.items() if "some" in n)
            assert isinstance(plugin, bytes) and len(plugin) > len(work.ballast)

        fan_out(client, "simulate", "some", work, tasks(30), CALM, done)
    assert sorted(told) == [len(work.ballast) + 10 * n for n in range(30)]
    assert seen and max(seen) < 600


def test_a_worker_that_joins_late_works_too() -> None:
    with threads() as (cluster, client):
        names: set[str] = set()

        def done(name: str) -> None:
            if not names:
                cluster.scale(2)
                client.wait_for_workers(2, timeout=30)
            names.add(name)

        fan_out(client, "simulate", "some", worker_name, tasks(200), CALM, done)
        assert len(names) == 2


def fails_at_20(split: str, starts: tuple[int, ...]) -> int:
    if starts == (20,):
        raise ZeroDivisionError("at 20")
    return starts[0]


def test_what_a_task_raises_ends_all_and_is_raised() -> None:
    told: list[int] = []
    with threads() as (cluster, client):
        with pytest.raises(ZeroDivisionError, match="at 20"):
            fan_out(client, "simulate", "some", fails_at_20, tasks(500), CALM, told.append)
        assert len(told) < 500
        fan_out(client, "simulate", "some", first_rows, tasks(3), CALM, lambda _: None)
        assert not [name for name in cluster.scheduler.worker_plugins if "some" in name]


def test_what_the_listener_raises_ends_all_and_is_raised() -> None:
    def interrupt(result: Any) -> None:
        raise KeyboardInterrupt

    with threads() as (_, client), pytest.raises(KeyboardInterrupt):
        fan_out(client, "simulate", "some", first_rows, tasks(500), CALM, interrupt)


def test_two_works_of_one_name_are_not_mixed_up() -> None:
    mixed: list[Any] = []
    with threads() as (_, client):

        def inner(result: Any) -> None:
            if not mixed:
                mixed.append(result)
                fan_out(client, "simulate", "some", worker_name, tasks(5), CALM, mixed.append)

        outer: list[Any] = []
        fan_out(client, "simulate", "some", first_rows, tasks(5), CALM,
                lambda result: (outer.append(result), inner(result)))  # fmt: skip
    assert len(outer) == 5 and all(isinstance(one, tuple) for one in outer)
    assert len(mixed) == 6 and all(isinstance(one, str) for one in mixed[1:])


@pytest.mark.slow  # a killed one: test_build_faults.py
def test_a_worker_that_hangs_is_started_anew_and_others_take_its_blocks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    with processes(2) as (_, client):
        patience = Patience(factor=2.0, floor_s=1.0, first_s=1.0)
        work = StopsItsWorker(tmp_path)
        fan_out(client, "simulate", "some", work, tasks(6), patience, told.append)
        assert sorted(told) == [0, 10, 20, 30, 40, 50]
        stopped = int((tmp_path / "pid").read_text())
        assert not psutil.pid_exists(stopped)
    (warning,) = [record.getMessage() for record in caplog.records if "anew" in record.getMessage()]
    assert "has had simulate train 000000" in warning and "for more than 1 s" in warning


def test_how_long_a_task_may_take_follows_from_the_slowest_before_it() -> None:
    patience = Patience(factor=3.0, floor_s=5.0, first_s=60.0)
    assert patience.limit_s(None) == 60.0
    assert patience.limit_s(0.5) == 5.0
    assert patience.limit_s(4.0) == 12.0
    assert Patience(floor_s=100.0, first_s=60.0).limit_s(None) == 100.0


class Scheduler:
    """A client that shows what workers are at, and notes which are to be started anew."""

    def __init__(self, **nannies: str | None) -> None:
        self.nannies = nannies
        self.at: dict[str, list[Any]] = {}
        self.restarted: list[str] = []
        self.called_back: list[Any] = []
        self.scheduler = self

    def processing(self) -> dict[str, list[Any]]:
        return self.at

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1  # all, not the first few
        return {"workers": {name: {"nanny": nanny} for name, nanny in self.nannies.items()}}

    def restart_workers(self, workers: list[str], **_: Any) -> None:
        self.restarted += workers

    def cancel(self, futures: list[Any]) -> None:
        self.called_back += futures

    def sync(self, call: Any, **arguments: Any) -> None:
        call(**arguments)


def watch_of(scheduler: Scheduler, *keys: Any) -> Watch:
    waiting = {key: f"future of {key}" for key in keys}
    return Watch(scheduler, waiting, Patience(2.0, 10.0, 10.0))  # type: ignore[arg-type]


def test_only_time_with_one_worker_counts_and_only_of_our_tasks() -> None:
    scheduler = Scheduler(one="a nanny", two="a nanny")
    watch = watch_of(scheduler, "a", ("b", "0", "x"))
    scheduler.at = {"one": ["a"], "two": ["another's"]}
    assert watch.look(8.0) == []  # seen for the first time
    assert watch.look(8.0) == []
    scheduler.at = {"two": ["a", "another's"], "one": [["b", "0", "x"]]}  # went to another worker
    assert watch.look(8.0) == []
    assert watch.look(8.0) == []
    scheduler.at = {"one": [["b", "0", "x"]], "two": ["another's"]}
    watch.note(1.0)
    assert watch.look(8.0) == ["one"]
    assert scheduler.restarted == ["one"]
    assert watch.look(8.0) == []  # it is given time again


def test_a_slow_task_makes_the_watch_wait_longer() -> None:
    scheduler = Scheduler(one="a nanny")
    watch = watch_of(scheduler, "a")
    scheduler.at = {"one": ["a"]}
    watch.look(1.0)
    watch.note(30.0)
    watch.note(3.0)
    assert watch.look(60.0) == []
    assert watch.look(1.0) == ["one"]


def test_the_only_worker_is_not_dismissed_where_nothing_starts_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone = Scheduler(one=None)
    watch = watch_of(alone, "a")
    alone.at = {"one": ["a"]}
    assert [watch.look(9.0) for _ in range(4)] == [[]] * 4
    assert alone.restarted == []
    assert [r.getMessage() for r in caplog.records] == [
        "worker one has had a for more than 10 s (none has ended yet): there "
        "is no other that could take it"
    ]
    watch = watch_of(two := Scheduler(one=None, two=None), "a")
    two.at = {"one": ["a"]}
    assert [watch.look(9.0) for _ in range(3)] == [[], [], ["one"]]


def test_a_task_that_hangs_wherever_it_goes_is_called_back() -> None:
    scheduler = Scheduler(one="a nanny")
    watch = watch_of(scheduler, "a", "b")
    scheduler.at = {"one": ["a"]}
    watch.look(1.0)
    for _ in range(5):
        assert watch.look(11.0) == ["one"]
    assert watch.hopeless is None
    assert watch.look(11.0) == ["one"]
    assert watch.hopeless == "a"
    assert scheduler.called_back == ["future of a"]


def test_a_task_called_back_as_hopeless_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with threads() as (_, client):
        go = Event("never", client=client)
        monkeypatch.setattr("simlib.dataset.watch._MOST_TIMES", 0)
        monkeypatch.setattr(Watch, "_restart", lambda *_: None)
        monkeypatch.setattr(
            client, "scheduler_info", lambda n_workers: {"workers": {"another": {}, "more": {}}}
        )
        with pytest.raises(InputError, match="simulate train 0000.* hung on one.*hang_factor"):
            fan_out(client, "simulate", "some", waits, tasks(1), Patience(2.0, 0.2, 0.2), print)
        go.set()


def waits(split: str, starts: tuple[int, ...]) -> None:
    Event("never").wait(60)


@pytest.mark.slow
def test_workers_that_take_too_much_memory_are_told_with_the_way_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        processes(1, memory_limit=400_000_000) as (_, client),
        pytest.raises(InputError) as error,
    ):
        work = TakesMemory(600_000_000)
        fan_out(client, "simulate", "some", work, tasks(1), CALM, lambda _: None)
    assert "simulate train 00000000-00000009: 2 workers ended" in str(error.value)
    assert "cluster.memory_gb" in str(error.value) and "dataset.block" in str(error.value)
    assert sum("was over its limit of memory" in r.msg for r in caplog.records) == 2


def test_work_that_did_not_reach_all_workers_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    with threads() as (cluster, client):
        register, errors = client.register_plugin, [CommClosedError("gone"), OSError("gone")]

        def sometimes(plugin: Any) -> None:
            register(plugin)
            if errors:
                raise errors.pop()

        monkeypatch.setattr(client, "register_plugin", sometimes)
        fan_out(client, "simulate", "some", first_rows, tasks(3), CALM, told.append)
        assert len(told) == 3 and not errors
        assert not [name for name in cluster.scheduler.worker_plugins if "some" in name]


def test_workers_without_the_memory_to_begin_a_task_are_told_and_not_started_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        processes(2, memory_limit=40_000_000) as (_, client),
        pytest.raises(InputError, match="over their limit of memory before a task.*memory_gb"),
    ):
        fan_out(client, "simulate", "some", waits, tasks(3), CALM, lambda _: None)
    assert sum("was over its limit of memory" in r.msg for r in caplog.records) >= 10


def test_a_scheduler_that_is_lost_is_one_message() -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    assert ours.poll(60)

    def kill(result: Any) -> None:
        if process.pid and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join(10)

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "500ms"}),
        Client(ours.recv(), timeout="10s") as client,
        pytest.raises(InputError, match="scheduler was lost.*what is finished stays"),
    ):
        fan_out(client, "simulate", "some", first_rows, tasks(5000), CALM, kill)
    assert not process.is_alive()
