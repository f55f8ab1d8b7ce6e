"""Where something is kept: a place on this machine, or a URL that fsspec knows.

A location travels with the options of its file system (an endpoint, a profile), so that these are
never dropped on the way, and never shows them. A path is absolute from the moment it is read.
"""

import json
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Union

import fsspec

from simlib.errors import InputError, require_kind
from simlib.secrets import refuse_password
from simlib.unbuffered import Bytes, is_kept, is_same

Options = Mapping[str, Any]
Place = Union[str, Path, "Location"]  # what functions take that read or write somewhere

_URL = "://"
_AT_ONCE = 16  # files that are read together
# s3fs asks for a file's size before it reads it, so as to read a large one in parts at once, and
# botocore adds checksums beside those of the signature; what is written here is read back
_WHEN_REQUIRED = ("request_checksum_calculation", "response_checksum_validation")
_S3 = {"max_concurrency": 1}
_ABSENT = (FileNotFoundError, NotADirectoryError)


def absolute(place: str | Path) -> str:
    """Return a path absolute, `~` expanded; a URL as it is, but `file://…` as a path.

    Raises InputError for a home that is not known, for nothing at all, and for a password.
    """
    text = refuse_password(str(place)).removeprefix("file://")
    if _URL in text:
        scheme, _, rest = text.partition(_URL)
        return f"{scheme}{_URL}{rest.rstrip('/')}"
    expanded = os.path.expanduser(text)
    if not text or expanded.startswith("~"):
        raise InputError(
            f"{str(place)!r} is no usable path: "
            + ("it is empty" if not text else "that home folder is not known")
            + "; write the path in full"
        )
    return os.path.abspath(expanded)


@dataclass(frozen=True)
class FileFacts:
    """A file. written: when, s since 1970; None where the file system does not tell."""

    bytes: int
    written: float | None


@dataclass(frozen=True)
class Location:
    """A file or folder: `url` is an absolute path or a URL. Made by `Location.of`."""

    url: str
    _options: str = field(default="{}", repr=False)  # as JSON: hashable, and equal when equal

    @classmethod
    def of(cls, place: Place, options: Options | None = None) -> "Location":
        """Return the location of a path or URL; a location is returned as it is.

        options: for fsspec, where there is a URL. Raises InputError for an unusable path.
        """
        if isinstance(place, Location):
            return place
        require_kind("a place", place, (str, os.PathLike), "a path or a URL")
        return cls(absolute(place), json.dumps(dict(options or {}), sort_keys=True, default=str))

    def __truediv__(self, part: str) -> "Location":
        """Return a location below this one."""
        return Location(f"{self.url.rstrip('/')}/{part}", self._options)

    def __str__(self) -> str:
        """Return the path or URL, never the options."""
        return self.url

    def __fspath__(self) -> str:
        """Return the path on this machine; TypeError for a URL."""
        return str(self.path)

    @property
    def options(self) -> dict[str, Any]:
        """Return what the file system of the URL needs."""
        options: dict[str, Any] = json.loads(self._options)
        return options

    @property
    def _fsspec(self) -> dict[str, Any]:
        """Return the options, with what spares an object store calls where none is given."""
        if not self.url.startswith(("s3://", "s3a://")):
            return self.options
        given = self.options
        told = dict.fromkeys(_WHEN_REQUIRED, "when_required") | (given.get("config_kwargs") or {})
        return {**_S3, **given, "config_kwargs": told}

    def under(self, options: Options) -> "Location":
        """Return the same place; its own options go before these."""
        return Location.of(self.url, {**options, **self.options})

    @property
    def name(self) -> str:
        """Return the last part."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        """Return the folder that this is in."""
        return Location(self.url.rstrip("/").rpartition("/")[0] or "/", self._options)

    def beside(self, name: str) -> "Location":
        """Return another name in the same folder."""
        return self.parent / name

    @property
    def is_local(self) -> bool:
        """Whether this is a path of this machine, not a URL."""
        return _URL not in self.url

    @property
    def path(self) -> Path:
        """Return the path on this machine; TypeError for a URL."""
        if not self.is_local:
            raise TypeError(f"{self.url} is a URL, not a path")
        return Path(self.url)

    @property
    def zarr(self) -> dict[str, Any]:
        """Return what Zarr and xarray take as arguments for this store: no options for a path."""
        return {"store": self.url, "storage_options": None if self.is_local else self._fsspec}

    def filesystem(self) -> tuple[Any, str]:
        """Return fsspec's file system, its listings not remembered, and the path in it.

        Raises InputError for a protocol that is not known or whose package is missing.
        """
        try:
            filesystem, path = fsspec.core.url_to_fs(self.url, **self._fsspec)
        except (ValueError, ImportError, TypeError, AttributeError) as error:
            raise InputError(f"cannot open {self}: {error}; use a folder or s3://…") from None
        filesystem.invalidate_cache()
        return filesystem, str(path)

    def exists(self) -> bool:
        """Return whether something is there."""
        filesystem, path = self.filesystem()
        return bool(filesystem.exists(path))

    def is_file(self) -> bool:
        """Return whether a file is there, and no folder."""
        filesystem, path = self.filesystem()
        return bool(filesystem.isfile(path))

    def names(self) -> list[str]:
        """Return the sorted names in a folder, empty where there is none."""
        filesystem, path = self.filesystem()
        try:
            entries = filesystem.ls(path, detail=False)
        except _ABSENT:
            return []
        return sorted({Path(entry).name for entry in entries} - {self.name, ""})

    def read_bytes(self, start: int | None = None, end: int | None = None) -> bytes | None:
        """Return what a file holds, None where there is none.

        start, end: of a part of it; a negative start counts from the end.
        """
        filesystem, path = self.filesystem()
        try:
            data: bytes = filesystem.cat_file(path, start=start, end=end)
        except _ABSENT:
            return None
        except IsADirectoryError:
            raise InputError(f"{self} is a folder; a file was expected") from None
        return data

    def read_parts(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes from … to of a file, of each part; at once where that is a wait.

        FileNotFoundError where there is none.
        """
        filesystem, path = self.filesystem()
        starts, stops = zip(*parts, strict=True)
        found: list[bytes] = filesystem.cat_ranges(
            [path] * len(parts), list(starts), list(stops), on_error="raise"
        )
        return found

    def tag(self) -> str | None:
        """Return what an object store tells a file's versions apart by; None where nothing does."""
        if self.is_local:
            return None
        filesystem, path = self.filesystem()
        try:
            tag = filesystem.info(path).get("ETag")
        except _ABSENT:
            return None
        return str(tag) if tag else None

    def stamp(self) -> str | None:
        """Return what differs where a file was written anew, told without reading it.

        None where there is no file. The same bytes may have another stamp.
        """
        filesystem, path = self.filesystem()
        try:
            info = filesystem.info(path)
        except _ABSENT:
            return None
        if info["type"] != "file":
            return None
        told = [info.get("ETag"), info.get("ino"), info.get("created"), _written(info)]
        return " ".join(str(one) for one in (info["size"], *told) if one is not None)

    def read_files(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return what the files of these names below hold; those not there are left out."""
        wanted = list(names)
        if self.is_local:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                held = list(pool.map(lambda name: (self / name).read_bytes(), wanted))
        else:
            filesystem, path = self.filesystem()
            everything = [None] * len(wanted)
            paths = [f"{path}/{name}" for name in wanted]
            found = filesystem.cat_ranges(paths, everything, everything, on_error="return")
            held = [None if isinstance(data, _ABSENT) else data for data in found]
            for number, data in enumerate(held):  # of many one may fail that goes well alone
                if isinstance(data, Exception):
                    held[number] = (self / wanted[number]).read_bytes()
        return {name: data for name, data in zip(wanted, held, strict=True) if data is not None}

    def unlike(self, files: Mapping[str, Bytes]) -> list[str]:
        """Return the names of the files below that hold other bytes than these, or are not there.

        On a disk what is there is compared, whatever memory still holds of it.
        """
        if not self.is_local:
            held = self.read_files(files)
            return [n for n, data in files.items() if n not in held or not is_same(held[n], data)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            same = pool.map(lambda name: _is_kept(self.path / name, files[name]), files)
            return [name for name, is_same in zip(files, same, strict=True) if not is_same]

    def files(self) -> dict[str, "FileFacts"]:
        """Return size and time of every file below, by its name from here on."""
        filesystem, path = self.filesystem()
        found = filesystem.find(path, detail=True)
        return {
            name[len(path) :].lstrip("/"): FileFacts(int(info["size"]), _written(info))
            for name, info in found.items()
        }

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every file below, by its name from here on."""
        return {name: file.bytes for name, file in self.files().items()}

    def remove(self) -> None:
        """Remove a file, or a folder with all in it; nothing where there is none."""
        filesystem, path = self.filesystem()
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)

    def relative_to(self, start: "Location") -> str:
        """Return the way here from a folder, `../…` where needed, so that both can move together.

        The URL in full where the two are on different file systems.
        """
        (here, mine), (there, base) = (_split(at.url) for at in (self, start))
        return posixpath.relpath(mine, base) if here == there else self.url

    def follow(self, way: str) -> "Location":
        """Return where a way from this folder leads: the inverse of `relative_to`."""
        if _URL in way or way.startswith("/"):
            return Location(absolute(way), self._options)
        scheme, path = _split(self.url)
        return Location(scheme + posixpath.normpath(f"{path}/{way}"), self._options)


def _is_kept(path: Path, data: Bytes) -> bool:
    try:
        return is_kept(path, data)
    except _ABSENT:
        return False


def _written(info: Mapping[str, Any]) -> float | None:
    """Return when a file was written, s since 1970, from what a file system says of it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        when = info.get(key)
        if isinstance(when, datetime):  # without a zone: in UTC, as fsspec's are
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        if isinstance(when, (int, float)):
            return float(when)
    return None


def _split(url: str) -> tuple[str, str]:
    scheme, mark, path = url.rpartition(_URL)
    return scheme + mark, path
