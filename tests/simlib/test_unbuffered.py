"""Files past the system's cache: the bytes that were given, or an error; told apart on the disk."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from simlib.artifact import create_bytes
from simlib.location import Location
from simlib.unbuffered import Bytes, aligned, is_kept, is_same, past_cache, write_flushed
from tests.faults.failing_disk import Watcher, flip, torn_at, watching

PIECE, PAGE = 4 << 20, 4096
SIZES = [0, 1, PAGE, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + PAGE + 7]
DATA = os.urandom(max(SIZES))
Calls = list[tuple[bool, int]]


def as_the_disk_takes_it(data: bytes) -> memoryview:
    memory = aligned(len(data))
    memory[:] = np.frombuffer(data, np.uint8)
    return memory.data


given = pytest.mark.parametrize("given", [bytes, as_the_disk_takes_it], ids=["bytes", "aligned"])


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a folder of a disk, and one of a file system that may not go past its cache."""
    if request.param == "disk":
        yield tmp_path
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs a file system in memory at /dev/shm")
    place = Path("/dev/shm") / f"specdenoise-{os.getpid()}"
    place.mkdir()
    yield place
    for path in place.iterdir():
        path.unlink()
    place.rmdir()


@given
@pytest.mark.parametrize("size", SIZES)
def test_what_was_given_is_kept_and_nothing_else(
    size: int, given: Callable[[bytes], Bytes], folder: Path
) -> None:
    path, data = folder / "file", DATA[:size]
    path.write_bytes(b"what was there before, and was longer" * (size // 16 + 1))
    with watching(Watcher(folder)) as watcher:
        write_flushed(path, given(data))
    assert path.stat().st_ino in watcher.flushed
    assert path.read_bytes() == data
    assert is_kept(path, given(data))
    assert not is_kept(path, data + b"\0")
    for at in {0, size // 2, size - 1} if size else ():
        assert not is_kept(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    if size:
        assert not is_kept(path, data[:-1])
        flip(path)
        assert not is_kept(path, data)


@given
def test_large_files_go_past_the_cache_and_come_from_behind_it(
    given: Callable[[bytes], Bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    probe = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(probe, fcntl.F_SETFL, os.O_DIRECT)
    except OSError:
        pytest.skip("the file system of temporary files always uses its cache")
    finally:
        os.close(probe)
    seen: dict[str, Calls] = {"pwrite": [], "preadv": []}
    for name, calls in seen.items():
        good = getattr(os, name)

        def spy(descriptor: int, *more: object, good: object = good, calls: Calls = calls) -> int:
            is_past = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
            done: int = good(descriptor, *more)  # type: ignore[operator]
            calls.append((is_past, done))
            return done

        monkeypatch.setattr(os, name, spy)
    write_flushed(path, given(DATA))
    assert is_kept(path, given(DATA))
    assert sorted(seen["pwrite"], reverse=True) == [
        (True, PIECE),
        (True, PIECE),
        (True, PAGE),
        (False, 7),
    ]
    assert seen["preadv"] == [(True, PIECE), (True, PIECE), (True, PAGE + 7)]


@pytest.mark.parametrize("room", [1000, PIECE, PIECE + 1000])
def test_a_full_disk_is_told(room: int, folder: Path) -> None:
    with torn_at(room), pytest.raises(OSError) as error:
        write_flushed(folder / "file", DATA)
    assert error.value.errno == errno.EFBIG
    assert not is_kept(folder / "file", DATA)


@given
@pytest.mark.parametrize("bad", range(8))
def test_a_piece_that_is_not_written_is_told_whichever_it_is(
    bad: int,
    given: Callable[[bytes], Bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = os.pwrite

    def failing(file: int, part: memoryview, at: int) -> int:
        if at == bad * PIECE:
            raise OSError(errno.EIO, "the disk is broken there")
        return good(file, part, at)

    monkeypatch.setattr(os, "pwrite", failing)
    part = given(bytes(PIECE))
    with pytest.raises(OSError, match="broken there"):
        create_bytes(Location.of(tmp_path / "parts"), [part] * 7 + [part[:PAGE]])
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="broken there"):
        write_flushed(tmp_path / "whole", given(bytes(7 * PIECE + PAGE)))


def test_parts_follow_each_other_whichever_memory_they_are_in(tmp_path: Path) -> None:
    whole, rest = as_the_disk_takes_it(DATA[:PIECE]), as_the_disk_takes_it(DATA[: PIECE + PAGE + 7])
    parts: list[list[Bytes]] = [
        [whole, b"a" * PAGE, whole, b"b" * 3, whole, whole],
        [rest, whole, rest, DATA],
        [b"a" * PIECE, whole, whole[1:], whole[PAGE:], whole],
    ]
    for number, some in enumerate(parts):
        path = tmp_path / str(number)
        assert create_bytes(Location.of(path), some)
        assert path.read_bytes() == b"".join(some)


@pytest.mark.parametrize("size", range(20))
def test_the_same_bytes_are_told_from_others_wherever_they_differ(size: int) -> None:
    data = DATA[:size]
    for one in (data, memoryview(data), as_the_disk_takes_it(data), memoryview(b"1" + data)[1:]):
        assert is_same(one, data) and is_same(data, one)
        assert not is_same(one, data + b"0") and not is_same(data + b"0", one)
        for at in range(size):
            other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert not is_same(one, other) and not is_same(other, one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are copies")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads; so it is
def test_a_copy_of_a_process_writes_into_memory_of_its_own(tmp_path: Path) -> None:
    write_flushed(tmp_path / "before", DATA)  # what it was written from is used again
    begins, begin = os.pipe()
    if not (child := os.fork()):
        try:
            os.read(begins, 1)
            write_flushed(tmp_path / "theirs", b"them" * PAGE)
        finally:
            os._exit(0)
    descriptor = os.open(tmp_path / "ours", os.O_WRONLY | os.O_CREAT)
    with past_cache(descriptor) as put:
        put(b"ours" * 1000)
        os.write(begin, b".")
        os.waitpid(child, 0)
    for one in (descriptor, begins, begin):
        os.close(one)
    assert (tmp_path / "ours").read_bytes() == b"ours" * 1000
    assert (tmp_path / "theirs").read_bytes() == b"them" * PAGE


@given
def test_writes_cut_short_are_gone_on_with(
    given: Callable[[bytes], Bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = os.pwrite

    def cut(file: int, part: memoryview, at: int) -> int:
        return good(file, part[: max(len(part) // 2, 1)], at)

    monkeypatch.setattr(os, "pwrite", cut)
    write_flushed(folder / "file", given(DATA))
    assert is_kept(folder / "file", DATA)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_kept(tmp_path / "none", DATA)
