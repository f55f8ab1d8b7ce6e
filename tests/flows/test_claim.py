"""One refresh of a name at a time; a claim frees itself where its holder is gone."""

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flows import claim as claiming
from flows.claim import Claim, Held, Refresh, claimed, last_refresh, refreshes_in
from simlib.artifact import write_record
from simlib.dataset.changes import Change, Due
from simlib.errors import InputError
from simlib.lease import LEASE_S
from simlib.location import Location


@pytest.fixture(params=["folder", "url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    url = request.param == "url"
    return Location.of(f"memory://{tmp_path.name}/root" if url else tmp_path / "root")


def write(root: Location, **changed: Any) -> Refresh:
    """Write the record of another's refresh, which holds the claim unless something is changed."""
    record = Refresh(number=4, token="theirs", host="elsewhere", process=77, began="then",
                     renewed=claiming.time.time()).model_copy(update=changed)  # fmt: skip
    write_record(refreshes_in(root, "d") / "000004.json", record)
    return record


def test_who_comes_second_is_told_by_whom_it_is_held(root: Location) -> None:
    with claimed(root, "d", "run-1") as mine:
        with pytest.raises(Held, match=rf"held by process {os.getpid()} on .* since 20"):
            claimed(root, "d").__enter__()
        with claimed(root, "other"):
            pass
        mine.note(outcome="it went well")
    ended = last_refresh(root, "d")
    assert ended is not None and ended.ended is not None and not ended.has_failed
    assert (ended.number, ended.outcome, ended.flow_run) == (1, "it went well", "run-1")
    with claimed(root, "d"):
        assert last_refresh(root, "d").number == 2  # type: ignore[union-attr]


def test_the_record_says_what_was_due_what_it_took_and_how_it_ended(root: Location) -> None:
    change = Change("train", "train.lr", 0.1, 0.2)
    dues = [Due("train", "there", True, "another", (change,), 9.0), Due("report", "x", False, "is")]
    with pytest.raises(InputError, match="no"), claimed(root, "d") as mine:
        mine.begin(dues)
        assert mine.timed("train", lambda a, b: a + b, 40, b=2) == 42
        raise InputError("no such thing")
    ended = last_refresh(root, "d")
    assert ended is not None and ended.has_failed and ended.outcome == "no such thing"
    one, other = ended.stages
    assert (one.stage, one.was_due, one.reason, one.planned_s) == ("train", True, "another", 9.0)
    assert one.changes == ("train.lr: 0.1 -> 0.2",)
    assert one.took_s is not None and one.took_s >= 0 and other.took_s is None


@pytest.mark.parametrize(
    ("changed", "is_free"),
    [({}, False), ({"ended": "then"}, True), ({"renewed": -LEASE_S - 1}, True),
     ({"renewed": -LEASE_S + 30}, False), ({"host": "here", "process": "gone"}, True),
     ({"host": "here", "process": "mine"}, False)],
)  # fmt: skip
def test_a_claim_holds_while_its_holder_lives(
    changed: dict[str, Any], is_free: bool, root: Location
) -> None:
    if "renewed" in changed:
        changed = changed | {"renewed": claiming.time.time() + changed["renewed"]}
    if "process" in changed:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait(60)
        process = gone.pid if changed["process"] == "gone" else os.getpid()
        changed = {"host": platform.node(), "process": process}
    write(root, **changed)
    if is_free:
        with claimed(root, "d") as mine:
            assert mine.record.number == 5
        return
    with pytest.raises(Held, match="held by process"):
        claimed(root, "d").__enter__()
    assert last_refresh(root, "d").token == "theirs"  # type: ignore[union-attr]


def test_a_holder_renews_its_record(root: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "BEAT_S", 0.01)
    renewed = threading.Event()
    noting = Claim.note
    monkeypatch.setattr(Claim, "note", lambda *a, **k: (noting(*a, **k), renewed.set()))
    with claimed(root, "d") as mine:
        first = mine.record.renewed
        assert renewed.wait(60)
        assert last_refresh(root, "d").renewed > first  # type: ignore[union-attr]


def test_a_disk_that_fails_for_a_while_ends_no_renewing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claiming, "BEAT_S", 0.01)
    tries = threading.Semaphore(0)

    def note(self: Claim, **_: object) -> None:
        tries.release()
        raise OSError("no disk")

    claim = Claim(refreshes_in(Location.of(tmp_path), "d"), write(Location.of(tmp_path)))
    monkeypatch.setattr(Claim, "note", note)
    stop = threading.Event()
    beating = threading.Thread(target=claim.beat, args=(stop,))
    beating.start()
    assert all(tries.acquire(timeout=60) for _ in range(2))
    stop.set()
    beating.join(60)
    assert "could not be renewed: no disk" in caplog.text and not beating.is_alive()


def _race(root: str, begin: Any, ended: Any) -> None:
    begin.wait(60)
    try:
        with claimed(Location.of(root), "d"):
            ended.wait(60)  # none gives it back before all have tried
    except Held:
        ended.wait(60)
        os._exit(3)
    os._exit(0)


@pytest.mark.slow
def test_of_many_at_once_one_holds_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begin, ended = context.Barrier(4), context.Barrier(4)
    processes = [
        context.Process(target=_race, args=(str(tmp_path), begin, ended)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode for process in processes) == [0, 3, 3, 3]  # type: ignore[type-var]


def test_old_records_go_and_a_damaged_one_is_told(
    root: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "_KEPT", 2)
    for _ in range(4):
        with claimed(root, "d"):
            pass
    assert refreshes_in(root, "d").names() == ["000002.json", "000003.json", "000004.json"]
    filesystem, path = (refreshes_in(root, "d") / "000004.json").filesystem()
    filesystem.pipe_file(path, b"{")
    with pytest.raises(InputError, match="remove it: it only says what was done"):
        claimed(root, "d").__enter__()
