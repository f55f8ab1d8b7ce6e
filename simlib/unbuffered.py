"""Files written to the disk and compared with what is on it, past the system's cache of pages.

So what is read back is what the disk holds, not what memory still does; and no page has to be found
for bytes that are not looked at again soon, which takes longer than to compress them. Small files,
and all where a file system does not go past its cache, go through it.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue

import numpy as np

_DIRECT = getattr(os, "O_DIRECT", 0)
_PIECE = 4 << 20  # bytes that go at once
_PAGE = 4096  # past the cache, places in a file and in memory, and sizes, are multiples of it

_free: LifoQueue[np.ndarray] = LifoQueue()


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file; it is on the disk when this returns. OSError where it cannot be."""
    whole = np.frombuffer(data, np.uint8)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        at, is_past = 0, len(data) >= _PIECE and _past_cache(descriptor)
        with _piece() as piece:
            while at < len(data):
                part = whole[at : at + _PIECE]
                pages = len(part) // _PAGE * _PAGE
                if is_past and (at % _PAGE or not pages):  # after a write cut short, at the end
                    is_past = _past_cache(descriptor, False)
                if is_past:
                    piece[:pages] = part[:pages]
                    part = piece[:pages]
                try:
                    at += os.pwrite(descriptor, part.data, at)
                except OSError:
                    if not is_past:
                        raise
                    is_past = _past_cache(descriptor, False)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_kept(path: Path, data: bytes) -> bool:
    """Return whether a file holds these bytes; FileNotFoundError where there is none."""
    whole = np.frombuffer(data, np.uint8)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != len(data):
            return False
        at, is_past = 0, len(data) >= _PIECE and _past_cache(descriptor)
        with _piece() as piece:
            while at < len(data):
                try:
                    got = os.preadv(descriptor, [piece.data], at)
                except OSError:
                    if not is_past:
                        raise
                    is_past = _past_cache(descriptor, False)
                    continue
                if not got or not np.array_equal(piece[:got], whole[at : at + got]):
                    return False
                at += got
        return True
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


@contextmanager
def _piece() -> Iterator[np.ndarray]:
    """Yield memory as the disk takes it, that was used before where some is free."""
    try:
        piece = _free.get_nowait()
    except Empty:
        piece = np.frombuffer(mmap.mmap(-1, _PIECE), np.uint8)
    try:
        yield piece
    finally:
        _free.put(piece)
