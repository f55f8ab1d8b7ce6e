"""A file system in memory that has no space left after so many bytes: `full://…`."""

import errno
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class FullDisk(MemoryFileSystem):  # type: ignore[misc]
    """Raises ENOSPC, as a disk does, once `room` bytes have been written."""

    protocol = "full"
    root_marker = "/"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    room = 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        text = path if isinstance(path, str) else str(path)
        return "/" + text.removeprefix("full://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if len(value) > FullDisk.room:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        FullDisk.room -= len(value)
        super().pipe_file(path, value, mode=mode, **kwargs)


fsspec.register_implementation("full", FullDisk, clobber=True)
