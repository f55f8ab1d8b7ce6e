"""Small files on any file system that fsspec knows, whole or absent.

A location is a folder (`./data`) or a URL (`s3://bucket/prefix`). Arrays go through Zarr; this is
for the records around them.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from simlib.errors import InputError
from simlib.secrets import refuse_password

Options = dict[str, Any]


def join(location: str, *parts: str) -> str:
    """Return a location below another."""
    return "/".join([location.rstrip("/"), *parts])


def open_location(location: str, options: Options | None = None) -> tuple[Any, str]:
    """Return the file system and the path in it.

    Raises InputError for a protocol that is not known or whose package is missing.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(refuse_password(location), **(options or {}))
    except InputError:
        raise
    except (ValueError, ImportError, TypeError) as error:
        raise InputError(f"cannot open {location!r}: {error}; use a folder or s3://…") from None
    return filesystem, str(path)


def zarr_options(location: str, options: Options | None) -> Options | None:
    """Return what Zarr takes as options for a location: it wants none for a folder."""
    return (options or {}) if "://" in location else None


def exists(location: str, options: Options | None = None) -> bool:
    """Return whether something is there."""
    filesystem, path = open_location(location, options)
    return bool(filesystem.exists(path))


def names_in(location: str, options: Options | None = None) -> list[str]:
    """Return the sorted names in a folder, empty when there is none."""
    filesystem, path = open_location(location, options)
    filesystem.invalidate_cache()
    if not filesystem.exists(path):
        return []
    return sorted(Path(entry).name for entry in filesystem.ls(path, detail=False))


def read_json(location: str, options: Options | None = None) -> Any:
    """Return what a JSON file holds, None when it is absent.

    Raises InputError when it is there but is not JSON.
    """
    filesystem, path = open_location(location, options)
    try:
        text = filesystem.cat_file(path)
    except FileNotFoundError:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{location} is damaged ({error}); delete it and run again") from None


def write_json(location: str, value: Any, options: Options | None = None) -> None:
    """Write a JSON file so that a reader sees the old one, the new one or none, never a part."""
    filesystem, path = open_location(location, options)
    data = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.pipe_file(path, data)  # object stores put whole objects
        return
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=folder, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
