"""Files written to the disk and compared with what is on it, past the system's cache of pages.

So what is read back is what the disk holds, not what memory still does; and no page has to be found
for bytes that are not looked at again soon, which takes longer than to compress them. Small files,
and all where a file system does not go past its cache, go through it.
"""

import fcntl
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue

import numpy as np

_DIRECT = getattr(os, "O_DIRECT", 0)
_PIECE = 4 << 20  # bytes that go at once
_PAGE = 4096  # past the cache, places in a file and in memory, and sizes, are multiples of it
_AT_ONCE = 4  # pieces of a file

Bytes = bytes | memoryview

_free: LifoQueue[memoryview] = LifoQueue()


def aligned(size: int) -> np.ndarray:
    """Return memory for so many bytes, uint8, which the disk takes as it is."""
    room = np.empty(size + _PAGE, np.uint8)
    start = -room.ctypes.data % _PAGE
    return room[start : start + size]


def write_flushed(path: Path, data: Bytes) -> None:
    """Write a file; it is on the disk when this returns. OSError where it cannot be."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with past_cache(descriptor) as put:
            put(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def past_cache(descriptor: int) -> Iterator[Callable[[Bytes], None]]:
    """Yield what adds bytes to an empty file, which is whole when this ends without an error.

    A few pieces are on their way to the disk at once; the last bytes are there once it is flushed.
    What is given in memory as the disk takes it is not copied: leave it as it is until this ends.
    """
    at, held, piece = 0, 0, _piece()
    on_their_way: deque[Future[None]] = deque()

    def put(data: Bytes) -> None:
        nonlocal at, held, piece
        whole, taken = memoryview(data).cast("B"), 0
        while taken < len(whole):
            if at == held == 0:
                _past_cache(descriptor)
            count = min(_PIECE - held, len(whole) - taken)
            part = whole[taken : taken + count]
            taken += count
            if count == _PIECE and _is_aligned(part):
                send(_write, part)
                continue
            piece[held : held + count] = part
            held += count
            if held == _PIECE:
                send(_write_piece, piece)
                held, piece = 0, _piece()

    def send(write: Callable[[int, memoryview, int], None], part: memoryview) -> None:
        nonlocal at
        on_their_way.append(pool.submit(write, descriptor, part, at))
        at += _PIECE
        if len(on_their_way) == _AT_ONCE:
            on_their_way.popleft().result()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield put
        for one in on_their_way:
            one.result()
    pages = held // _PAGE * _PAGE if at else 0  # of a small file none
    _write(descriptor, piece[:pages], at)
    _past_cache(descriptor, False)
    _write(descriptor, piece[pages:held], at + pages)
    _free.put(piece)


def _write_piece(descriptor: int, piece: memoryview, at: int) -> None:
    _write(descriptor, piece, at)
    _free.put(piece)


def _write(descriptor: int, data: memoryview, at: int) -> None:
    """Write all of the data, through the cache where it does not go past it."""
    done, is_past = 0, True
    while done < len(data):
        try:
            done += os.pwrite(descriptor, data[done:], at + done)
        except OSError:
            if not is_past:
                raise
            is_past = _past_cache(descriptor, False)
        if done % _PAGE:  # cut short
            is_past = _past_cache(descriptor, False)


def is_same(some: Bytes, others: Bytes) -> bool:
    """Return whether these are the same bytes; word by word, not byte by byte as `memoryview`."""
    words = len(some) // 8 * 8
    first, second = (np.frombuffer(data, np.uint8) for data in (some, others))
    return (
        len(some) == len(others)
        and np.array_equal(first[:words].view(np.uint64), second[:words].view(np.uint64))
        and np.array_equal(first[words:], second[words:])
    )


def is_kept(path: Path, data: Bytes) -> bool:
    """Return whether a file holds these bytes; FileNotFoundError where there is none."""
    whole = memoryview(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != len(data):
            return False
        at, is_past, piece = 0, len(data) >= _PIECE and _past_cache(descriptor), _piece()
        while at < len(data):
            try:
                got = os.preadv(descriptor, [piece], at)
            except OSError:
                if not is_past:
                    raise
                is_past = _past_cache(descriptor, False)
                continue
            if not got or not is_same(piece[:got], whole[at : at + got]):
                break
            at += got
        _free.put(piece)
        return at == len(data)
    finally:
        os.close(descriptor)


def _is_aligned(part: memoryview) -> bool:
    return np.frombuffer(part, np.uint8).ctypes.data % _PAGE == 0


def _past_cache(descriptor: int, is_past: bool = True) -> bool:
    """Let what follows on a file go past the cache, or through it; return which it will."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~_DIRECT
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | (_DIRECT if is_past else 0))
    except OSError:  # of a file system that always uses it
        return False
    return is_past and _DIRECT != 0


def _piece() -> memoryview:
    """Return memory as the disk takes it, that was used before where some is free."""
    try:
        return _free.get_nowait()
    except Empty:
        # private: a process that is a copy of this one has the same ones free
        return memoryview(mmap.mmap(-1, _PIECE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
