"""A disk that fails, tears or alters what is written on it, and a spy of what reaches it when.

Local writes are met where the interpreter announces them, whatever library makes them; a limit on
the size of files, which the system keeps, tears those that are written elsewhere too. What goes
through fsspec is met in a file system in memory: `twisted://…`.
"""

import errno
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from tests.faults.full_disk import FullDisk

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MOVES = {"os.rename", "os.link"}
_watchers: list["Watcher"] = []
_fsync = os.fsync


class Watcher:
    """What happens to files below a folder; `on_move` sees what gets its name, and from where.

    fail_at: the number of the event that fails, None for none.
    """

    def __init__(
        self,
        folder: Path,
        fail_at: int | None = None,
        number: int = errno.ENOSPC,
        on_move: Callable[[Path, Path], None] = lambda source, target: None,
    ) -> None:
        self.folder, self.fail_at, self.number, self.on_move = folder, fail_at, number, on_move
        self.seen = 0
        self.flushed: set[int] = set()  # inodes
        self._lock = threading.Lock()

    def event(self, what: str) -> None:
        """Count something done to a file; it fails where its turn has come."""
        with self._lock:
            self.seen += 1
            is_due = self.seen == self.fail_at
        if is_due:
            raise OSError(self.number, os.strerror(self.number), what)

    def owns(self, path: Any) -> bool:
        """Return whether a path is the folder or lies below it."""
        return isinstance(path, (str, os.PathLike)) and f"{path}/".startswith(f"{self.folder}/")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers:
        return
    is_open = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    if not (is_open or event in _MOVES or event == "os.mkdir"):
        return
    for watcher in _watchers:
        if watcher.owns(arguments[0]):
            if event in _MOVES:
                watcher.on_move(Path(arguments[0]), Path(arguments[1]))
            watcher.event(f"{event} {arguments[0]}")


def _spied_fsync(descriptor: int) -> None:
    for watcher in _watchers:
        if watcher.owns(os.readlink(f"/proc/self/fd/{descriptor}")):
            watcher.event("fsync")
            watcher.flushed.add(os.fstat(descriptor).st_ino)
    _fsync(descriptor)


_is_hooked: list[bool] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[Watcher]:
    """Let a watcher see, and fail, what is done to its folder meanwhile."""
    if not _is_hooked:
        sys.addaudithook(_hook)  # it cannot be taken away again
        _is_hooked.append(True)
    _watchers.append(watcher)
    os.fsync = _spied_fsync
    try:
        yield watcher
    finally:
        _watchers.remove(watcher)
        os.fsync = _fsync


@contextmanager
def torn_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: what is longer is written up to there, and then fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


class Twisted(FullDisk):
    """Of the n-th chunk that is written something else is kept: `how` says what, n is `at`."""

    protocol = "twisted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    at, written = 0, 0
    how: Callable[[bytes], bytes] = staticmethod(bytes)

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return "/" + str(path).removeprefix("twisted://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        is_chunk = "/c/" in path or path.endswith("/c")
        Twisted.written += is_chunk
        if is_chunk and Twisted.written == Twisted.at:
            value = Twisted.how(bytes(value))
        MemoryFileSystem.pipe_file(self, path, value, mode=mode, **kwargs)


fsspec.register_implementation("twisted", Twisted, clobber=True)


def flipped(data: bytes) -> bytes:
    """Return the data with one bit changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    """Return the first half of the data."""
    return data[: len(data) // 2]
