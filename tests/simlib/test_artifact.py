"""A reader sees the old thing, the new thing or none; a kill leaves nothing for ever."""

import asyncio
import json
import multiprocessing
import os
import platform
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from zarr.core.sync import sync

from simlib import artifact
from simlib.artifact import (
    Record,
    create_bytes,
    create_record,
    lock,
    publishing,
    read_record,
    replacing,
    write_bytes,
    write_files,
    write_record,
)
from simlib.errors import InputError
from simlib.location import Location


class Note(Record):
    remedy: ClassVar[str] = "write it anew"
    rows: int
    share: float = 0.25
    names: tuple[str, ...] = ()


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location.of(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


def test_a_record_comes_back_as_it_was(folder: Location) -> None:
    note = Note(rows=3, share=1 / 3, names=("a", "b"))
    assert read_record(folder / "note.json", Note) is None
    write_record(folder / "deep" / "note.json", note)
    assert read_record(folder / "deep" / "note.json", Note) == note


def test_every_flipped_bit_of_a_record_is_told(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "note.json")
    write_record(place, Note(rows=3))
    whole = place.path.read_bytes()
    harmless = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        place.path.write_bytes(flipped)
        try:
            assert read_record(place, Note) == Note(rows=3)  # white space became other white space
            harmless += 1
        except InputError as error:
            assert str(place) in str(error)
            assert "write it anew" in str(error)
    assert harmless < 0.02 * 8 * len(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[]", "holds no table"),
        ('{"rows": 3}', "has format None, this version reads 3"),
        ('{"rows": 3, "format_version": 1}', "has format 1"),
        ('{"rows": "3", "format_version": 3}', "rows: Input should be a valid integer"),
        ('{"format_version": 3}', "rows: Field required"),
        ('{"rows": 3, "format_version": 3}', "its digest is None"),
    ],
)
def test_what_is_no_such_record_is_refused(tmp_path: Path, text: str, message: str) -> None:
    place = Location.of(tmp_path / "note.json")
    place.path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_record(place, Note)
    assert str(place) in str(caught.value)
    assert len(str(caught.value)) < 500


def test_of_many_that_create_one_wins_and_all_agree(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "plan.json")
    start = threading.Barrier(8)
    standing: list[Note] = []

    def create(rows: int) -> None:
        start.wait(10)
        standing.append(create_record(place, Note(rows=rows)))

    threads = [threading.Thread(target=create, args=(rows,)) for rows in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(standing) == 8
    assert set(standing) == {read_record(place, Note)}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_what_is_created_is_not_created_again(folder: Location) -> None:
    assert create_bytes(folder / "x", b"first")
    assert not create_bytes(folder / "x", b"second")
    assert (folder / "x").read_bytes() == b"first"


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_modes_are_those_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(Location.of(tmp_path / "a"), b"")
        create_bytes(Location.of(tmp_path / "b"), b"")
        with publishing(Location.of(tmp_path / "c")) as beside:
            os.mkdir(beside)
            (beside.path / "d").write_bytes(b"")
    finally:
        os.umask(before)
    for name in ("a", "b", "c/d"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~mask


def test_a_failure_on_the_way_leaves_the_old_thing_and_nothing_else(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "x")
    write_bytes(place, b"old")
    with pytest.raises(ConnectionError), replacing(place.path) as file:
        file.write(b"ne")
        raise ConnectionError
    with pytest.raises(ConnectionError), publishing(place, replace=True) as beside:
        beside.path.write_bytes(b"ne")
        raise ConnectionError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


@pytest.mark.parametrize("write", [create_bytes, write_bytes])
def test_a_file_of_parts_is_written_while_they_are_made_and_is_whole_or_absent(
    write: Callable[[Location, artifact.Data], object], folder: Location
) -> None:
    def parts(is_bad: bool) -> Iterator[bytes | memoryview]:
        yield b"first, "
        yield memoryview(b"and second")
        if is_bad:
            raise InputError("no third")

    with pytest.raises(InputError, match="no third"):
        write(folder / "a", parts(is_bad=True))
    assert not folder.exists() or not folder.sizes()
    write(folder / "a", parts(is_bad=False))
    assert (folder / "a").read_bytes() == b"first, and second"


def test_everything_is_flushed_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, _after_flush(getattr(Path, name), flushed))
    link = os.link

    def spied_link(source: Path, target: Path) -> None:
        assert source.stat().st_ino in flushed
        link(source, target)

    monkeypatch.setattr(os, "link", spied_link)
    write_bytes(Location.of(tmp_path / "a"), b"1")
    create_bytes(Location.of(tmp_path / "b"), b"1")
    with publishing(Location.of(tmp_path / "c")) as beside:
        (beside.path / "inner").mkdir(parents=True)
        (beside.path / "inner/file").write_bytes(b"1")
    assert tmp_path.stat().st_ino in flushed
    flushed.clear()
    write_files(Location.of(tmp_path / "d"), {"a/b/x": b"1", "a/y": b"2"})
    for folder in ("d", "d/a", "d/a/b"):
        assert (tmp_path / folder).stat().st_ino in flushed


def _after_flush(move: object, flushed: set[int]) -> object:
    def spied(source: Path, target: Path) -> object:
        for entry in (source, *source.rglob("*")):
            assert entry.stat().st_ino in flushed
        return move(source, target)  # type: ignore[operator]

    return spied


def test_a_folder_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "x.zarr")
    with pytest.raises(InputError, match="exists"), publishing(place) as mine:
        (mine.path / "a").mkdir(parents=True)
        with publishing(place) as other:
            (other.path / "b").mkdir(parents=True)
    assert [path.name for path in (tmp_path / "x.zarr").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"]


def test_a_folder_takes_the_place_of_a_file_and_the_other_way_round(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "x")
    write_bytes(place, b"old")
    with publishing(place, replace=True) as beside:
        beside.path.mkdir()
    assert place.path.is_dir()
    with publishing(place, replace=True) as beside:
        beside.path.write_bytes(b"new")
    assert place.path.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_is_replaced_whole_where_that_is_asked_for(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "x")
    for name in ("a", "b"):
        with publishing(place, replace=True) as beside:
            (beside.path / name).mkdir(parents=True)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def _die_while_writing(path: str) -> None:
    with publishing(Location.of(path)) as beside:
        (beside.path / "half").mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_writing, args=(str(tmp_path / "x"),)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".writing"]
    with publishing(Location.of(tmp_path / "x")) as mine:
        mine.path.mkdir()
        (mine.path / "whole").write_bytes(b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_lock_that_is_held_names_its_holder(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "x.lock", "the run", timeout_s=1.0),
        pytest.raises(InputError, match=f"the run is held by process {os.getpid()}"),
        lock(tmp_path / "x.lock", "the run", timeout_s=0.0),
    ):
        pass
    with lock(tmp_path / "x.lock", "the run", timeout_s=0.0):
        pass


HOLDS = """
import sys
from pathlib import Path
from simlib.artifact import lock
with lock(Path(sys.argv[1]), "the run", timeout_s=20.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_one_process_s_alone_until_it_ends_whatever_ends_it(tmp_path: Path) -> None:
    place = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        for _ in range(2):
            with (
                pytest.raises(InputError, match=f"held by process {holder.pid} on"),
                lock(place, "the run", timeout_s=0.0),
            ):
                pass
        holder.kill()
    with lock(place, "the run", timeout_s=0.0):
        assert place.read_text().startswith(f"{os.getpid()} on ")


def test_a_place_without_links_still_creates_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    assert create_bytes(Location.of(tmp_path / "x"), b"1")
    assert not create_bytes(Location.of(tmp_path / "x"), b"2")
    assert (tmp_path / "x").read_bytes() == b"1"


@pytest.mark.parametrize("place", ["local", "memory"])
def test_files_written_together_replace_those_that_are_there(place: str, tmp_path: Path) -> None:
    folder = Location.of(tmp_path / "x" if place == "local" else "memory://together/x")
    write_files(folder, {"a/0": b"old", "b": b"left"})
    write_files(folder, {"a/0": b"new", "a/1": b"more"})
    assert folder.read_files(folder.sizes()) == {"a/0": b"new", "a/1": b"more", "b": b"left"}
    if place == "local":
        assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_record_says_its_format(tmp_path: Path) -> None:
    write_record(Location.of(tmp_path / "x"), Note(rows=1))
    written = json.loads((tmp_path / "x").read_text())
    assert written["format_version"] == artifact.FORMAT_VERSION


def test_what_a_process_left_that_ended_unasked_is_cleared_too(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # a zombie until it is asked about
    left = tmp_path / f".a.b.{platform.node()}.{ended.pid}.0.writing"
    alive = tmp_path / f".a.b.{platform.node()}.{os.getpid()}.0.writing"
    elsewhere = tmp_path / f".a.b.other-{platform.node()}.{ended.pid}.0.writing"
    for path in (left, alive, elsewhere):
        path.mkdir()
    artifact.clear_leftovers(tmp_path)
    ended.wait(10)
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere])


def test_what_zarr_reads_beside_what_failed_ends_before_that_is_told(tmp_path: Path) -> None:
    begun, ended = [], []

    async def slow() -> None:
        await asyncio.sleep(0.1)
        ended.append("slow")
        raise ValueError("nobody hears of this")

    async def both() -> None:
        begun.append(asyncio.create_task(slow()))
        await asyncio.sleep(0)
        raise ValueError("cut")

    told = pytest.raises(InputError, match=r"x is damaged \(ValueError: cut\); make it again")
    with told, artifact.reading(Location.of(tmp_path / "x"), "make it again"):
        sync(both())
    assert ended == ["slow"] and begun[0].done()
