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

_free: LifoQueue[memoryview] = LifoQueue()


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file; it is on the disk when this returns. OSError where it cannot be."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with past_cache(descriptor) as put:
            put(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def past_cache(descriptor: int) -> Iterator[Callable[[bytes | memoryview], None]]:
    """Yield what adds bytes to an empty file, which is whole when this ends without an error.

    A few pieces are on their way to the disk at once; the last bytes are there once it is flushed.
    """
    at, held, piece = 0, 0, _piece()
    on_their_way: deque[Future[None]] = deque()

    def put(data: bytes | memoryview) -> None:
        nonlocal at, held, piece
        whole, taken = memoryview(data).cast("B"), 0
        while taken < len(whole):
            if at == held == 0:
                _past_cache(descriptor)
            count = min(_PIECE - held, len(whole) - taken)
            piece[held : held + count] = whole[taken : taken + count]
            held, taken = held + count, taken + count
            if held == _PIECE:
                on_their_way.append(pool.submit(_write_piece, descriptor, piece, at))
                at, held, piece = at + held, 0, _piece()
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


def is_kept(path: Path, data: bytes) -> bool:
    """Return whether a file holds these bytes; FileNotFoundError where there is none."""
    whole = np.frombuffer(data, np.uint8)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != len(data):
            return False
        at, is_past, piece = 0, len(data) >= _PIECE and _past_cache(descriptor), _piece()
        held = np.frombuffer(piece, np.uint8)
        while at < len(data):
            try:
                got = os.preadv(descriptor, [piece], at)
            except OSError:
                if not is_past:
                    raise
                is_past = _past_cache(descriptor, False)
                continue
            if not got or not np.array_equal(held[:got], whole[at : at + got]):
                break
            at += got
        _free.put(piece)
        return at == len(data)
    finally:
        os.close(descriptor)


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
