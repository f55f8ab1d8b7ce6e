"""How anything is written: beside its place, flushed, then put there in one step.

A reader sees the old thing, the new thing or none, never a part; what is there and finished is
never changed, only replaced whole. What a kill left half-written has a name of its own, which the
next writer of the same thing clears away. Modes are those that the umask gives.

Records are the JSON files around the arrays: each is read through its schema, and carries a digest
of itself, so that a flipped bit, a cut or an edit is told where it is read.
"""

import errno
import glob
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

import filelock
import pydantic_core
from pydantic import BaseModel, ConfigDict, ValidationError

from simlib.errors import InputError, shown
from simlib.location import Location
from simlib.processes import is_alive
from simlib.retry import may_pass
from simlib.unbuffered import Bytes, past_cache, write_flushed

FORMAT_VERSION = 3  # of everything written: stores, runs, records
_DIGITS = 16
_FLUSHES = 16
_REST_S = 5.0
_UNFINISHED = ".writing"
_MOST_TOLD = 300  # characters of what a library says
_MOST_TRIES = 100  # to change a file that others change too
_CONDITIONS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}  # of S3
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_numbers = itertools.count()

RecordModel = TypeVar("RecordModel", bound="Record")


class Record(BaseModel):
    """A JSON file: its fields with their types, and what to do where it cannot be used."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    remedy: ClassVar[str] = "remove it and run again"


def write_record(place: Location, record: Record) -> None:
    """Write a record, in place of the one that is there."""
    write_bytes(place, encoded(record))


def create_record(place: Location, record: RecordModel) -> RecordModel:
    """Write a record where there is none; return the one that stands: this one, or another's."""
    while not create_bytes(place, encoded(record)):
        if (standing := read_record(place, type(record))) is not None:
            return standing
    return record


def read_record(place: Location, model: type[RecordModel]) -> RecordModel | None:
    """Return a record, None where there is none.

    Raises InputError, with the file and the place in it, for what is not such a record, was made
    by another format, or is not what was written.
    """
    data = place.read_bytes()
    return None if data is None else parse_record(place, data, model)


def parse_record(place: Location, data: bytes, model: type[RecordModel]) -> RecordModel:
    """Return the record that a file holds. Raises InputError as `read_record` does."""
    try:
        value = pydantic_core.from_json(data)
    except ValueError as error:
        raise InputError(f"{place} is damaged, no JSON ({error}); {model.remedy}") from None
    if not isinstance(value, dict):
        raise InputError(f"{place} is damaged: it holds no table; {model.remedy}")
    if value.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{place} has format {shown(value.get('format_version'))}, this version reads "
            f"{FORMAT_VERSION}; {model.remedy}"
        )
    digest = value.pop("digest", None)
    try:
        record = model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its top"
        raise InputError(
            f"{place} cannot be used: {where}: {first['msg']}; {model.remedy}"
        ) from None
    if digest != _digest(value):
        raise InputError(
            f"{place} is damaged or was edited: its digest is {shown(digest)}, its content gives "
            f"{_digest(value)!r}; {model.remedy}"
        )
    return record


def encoded(record: Record) -> bytes:
    """Return the bytes of a record's file."""
    value = record.model_dump(mode="json") | {"format_version": FORMAT_VERSION}
    whole = value | {"digest": _digest(value)}
    return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()


def _digest(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


Data = bytes | Iterable[Bytes]  # of a file, whole or part by part


def write_bytes(place: Location, data: Data) -> None:
    """Write a file, in place of the one that is there."""
    if place.is_local:
        with replacing(place.path) as file:
            _write(file, data)
    else:
        filesystem, path = place.filesystem()
        filesystem.pipe_file(path, _whole(data))  # object stores put whole objects


def create_bytes(place: Location, data: Data) -> bool:
    """Write a file where there is none; return whether it was written: of many, one wins.

    Behind a URL the store sees to that (If-None-Match); where it ignores the condition, as some
    gateways do, the last of those that write at once holds.
    """
    if place.is_local:
        try:
            with _scratch_file(place.path) as (file, scratch):
                _write(file, data)
                _flush(file)
                _put(scratch, place.path)
        except FileExistsError:
            return False
        return True
    filesystem, path = place.filesystem()
    whole = _whole(data)
    try:
        filesystem.pipe_file(path, whole, mode="create")
    except OSError as error:  # FileExistsError from some stores, a plain one from others
        if not (_is_condition(error) or place.exists()):
            raise
        return False
    return True


def _whole(data: Data) -> bytes:
    return data if isinstance(data, bytes) else b"".join(data)


def _write(file: BinaryIO, data: Data) -> None:
    """Write data into an empty file; a part of them goes there while the next is made."""
    parts = [data] if isinstance(data, bytes) else data
    with past_cache(file.fileno()) as put, ThreadPoolExecutor(1) as pool:
        for done in [pool.submit(put, part) for part in parts]:
            done.result()


def replace_bytes(place: Location, change: Callable[[bytes | None], bytes]) -> None:
    """Write what a file is to hold in place of what it holds now, which `change` is given.

    Of several that do so at once behind a URL, each is given what the one before wrote, so that
    none is undone unseen: the store is asked to write only where the file is still the one that
    was read (If-Match). Where a store has no tags of its files, or ignores the condition, and on a
    disk, the last one holds.
    """
    for _ in range(_MOST_TRIES):
        if _is_replaced(place, change):
            return
    raise OSError(errno.EBUSY, "others write there all the time", str(place))


def _is_replaced(place: Location, change: Callable[[bytes | None], bytes]) -> bool:
    """Try once; return whether nobody came in between."""
    tag = place.tag()  # before what is read: an older one is refused
    held = place.read_bytes()
    data = change(held)
    if place.is_local or (held is not None and tag is None and place.tag() is None):
        write_bytes(place, data)
        return True
    if held is None:
        return create_bytes(place, data)
    filesystem, path = place.filesystem()
    for written in (str(tag), str(tag).strip('"')):  # Ceph does not know a tag by its quotes
        try:
            filesystem.pipe_file(path, data, IfMatch=written)
        except OSError as error:
            if not _is_condition(error):
                raise
        else:
            return True
    return place.read_bytes() == data  # then the answer to a write that went well was lost


def _is_condition(error: OSError) -> bool:
    """Return whether a store did not write because a condition does not hold, or another writes."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in _CONDITIONS


def write_files(folder: Location, files: Mapping[str, Bytes]) -> None:
    """Write files below a folder, in place of those that are there; each is whole or absent.

    All are on the disk when this returns, for little more than the wait for one.
    """
    if not folder.is_local:
        filesystem, path = folder.filesystem()
        filesystem.pipe({f"{path}/{name}": bytes(data) for name, data in files.items()})
        return
    scratch = _scratch_name(folder.path)
    moves = {scratch / str(number): folder.path / name for number, name in enumerate(files)}
    try:
        scratch.mkdir()
        with ThreadPoolExecutor(min(_FLUSHES, len(moves) or 1)) as pool:
            list(pool.map(write_flushed, moves, files.values()))
        for written, target in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            written.replace(target)
        _flush_all(folder.path / parent for name in files for parent in Path(name).parents)
    finally:
        _remove(scratch)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; when all went well it takes the place of the one at `path`."""
    with _scratch_file(path) as (file, scratch):
        yield file
        _flush(file)
        scratch.replace(path)
        _flush_entry(path.parent)


@contextmanager
def publishing(place: Location, *, replace: bool = False) -> Iterator[Location]:
    """Yield where to write a file or folder of this machine; when all went well, put it in place.

    What is written is flushed to the disk and then renamed. Verify inside the block: what raises
    there publishes nothing. replace: in place of what is there. Raises InputError where something
    is there otherwise, however late it came. Behind a URL, which has no names to change, only a
    folder can be published, and only in place of what is there: a reader finds it from when the
    files at its top are there, which go first and come last.
    """
    if not place.is_local:
        with tempfile.TemporaryDirectory() as folder:
            beside = Location.of(folder) / place.name
            yield beside
            _put_remote(beside, place)
        return
    target = place.path
    scratch = _scratch_name(target)
    try:
        yield Location.of(scratch)
        flush_tree(scratch)
        if replace:
            _exchange(scratch, target)
        else:
            _put(scratch, target)
    except FileExistsError:
        raise InputError(f"{place} exists; choose another place, or remove it") from None
    finally:
        _remove(scratch)


def _put_remote(written: Location, place: Location) -> None:
    files = written.read_files(written.sizes())
    at_top = {name: data for name, data in files.items() if "/" not in name}
    for name in at_top:
        (place / name).remove()
    place.remove()
    write_files(place, {name: data for name, data in files.items() if name not in at_top})
    write_files(place, at_top)


def flush_tree(top: Path) -> None:
    """Flush every file and folder below, and the top itself."""
    _flush_all((*top.rglob("*"), top))


@contextmanager
def reading(place: Location, remedy: str) -> Iterator[None]:
    """Tell what goes wrong while a store is opened or read, whatever the library raises for it.

    A damaged store shows in many ways, from a missing key to a failed decompression: all become
    one InputError with the remedy. Refused access and a failing network stay what they are.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        _let_others_end()
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{place} lacks {error}; {remedy}") from error
        if isinstance(error, (OSError, MemoryError)) or may_pass(error):
            raise
        text = str(error).partition("\n")[0][:_MOST_TOLD]
        raise InputError(
            f"{place} is damaged ({type(error).__name__}: {text}); {remedy}"
        ) from error


def _let_others_end() -> None:
    """Wait for what Zarr reads beside what failed: cut off, Python complains of it at its end."""
    if (zarr_sync := sys.modules.get("zarr.core.sync")) is None:
        return
    import asyncio  # noqa: PLC0415  (slow to load, and there where Zarr is)

    async def rest() -> None:
        if begun := asyncio.all_tasks() - {asyncio.current_task()}:
            ended, _ = await asyncio.wait(begun, timeout=_REST_S)
            for task in ended:
                _ = task.cancelled() or task.exception()

    zarr_sync.sync(rest())


@contextmanager
def lock(path: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a file; the system frees it whatever ends its holder.

    what: is locked, for the message. Raises InputError, with the holder, where it is not free
    within the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path, timeout=timeout_s, on_acquired=_sign)
    try:
        held.acquire()
    except filelock.Timeout:
        with suppress(OSError):
            holder = path.read_text(encoding="utf-8").strip()
        raise InputError(
            f"{what} is held by process {holder or 'unknown'}; wait for it or stop it"
        ) from None
    try:
        yield
    finally:
        held.release()


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} on {platform.node()}\n".encode(), 0)


@contextmanager
def _scratch_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    scratch = _scratch_name(path)
    try:
        with scratch.open("xb") as file:
            yield file, scratch
    finally:
        _remove(scratch)


def put_copy(source: Path, target: Path) -> None:
    """Put a file under another name too, in place of what has that name.

    Both are one file where the file system can: nothing of it is written again.
    """
    scratch = _scratch_name(target)
    try:
        try:
            os.link(source, scratch)
        except OSError:
            shutil.copy2(source, scratch)
            flush_tree(scratch)
        scratch.replace(target)
        _flush_entry(target.parent)
    finally:
        _remove(scratch)


def _scratch_name(target: Path) -> Path:
    """Return a free name beside the target, and remove what dead processes left there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(target.parent, target.name)
    mine = f".{target.name}.{platform.node()}.{os.getpid()}.{next(_numbers)}{_UNFINISHED}"
    return target.with_name(mine)


def discard(place: Location, is_wanted: Callable[[], bool]) -> bool:
    """Remove a file or folder of this machine that no reader shall see half of.

    It loses its name first: what a kill leaves of it is a leftover as any. is_wanted: asked once no
    one can find it any more; then it gets its name back, and False is returned.
    FileNotFoundError where there is none.
    """
    aside = _scratch_name(place.path)
    place.path.rename(aside)
    if is_wanted():
        aside.rename(place.path)
        return False
    _flush_entry(aside.parent)
    remove_leftover(aside)
    return True


def remove_leftover(left: Path) -> None:
    """Remove what a writer left; OSError, unlike where leftovers are cleared in passing."""
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left)
    else:
        left.unlink()


def is_leftover(name: str) -> bool:
    """Return whether a name is one that things have while they are written."""
    return re.fullmatch(rf"\..+\.\d+\.\d+{re.escape(_UNFINISHED)}", name) is not None


def is_writer_alive(leftover: str) -> bool | None:
    """Return whether the process that writes under this name runs; None on another machine."""
    target_and_node, process, _ = leftover.removesuffix(_UNFINISHED).rsplit(".", 2)
    if not target_and_node.endswith(f".{platform.node()}"):
        return None
    return is_alive(int(process))


def clear_leftovers(folder: Path, name: str = "*") -> None:
    """Remove what processes of this machine that are dead left half-written in a folder.

    name: of what they wrote; by default all.
    """
    pattern = name if name == "*" else glob.escape(name)
    for left in folder.glob(f".{pattern}.{glob.escape(platform.node())}.*{_UNFINISHED}"):
        process = left.name.removesuffix(_UNFINISHED).split(".")[-2]
        if process.isdigit() and not is_alive(int(process)):
            _remove(left)


def _put(scratch: Path, target: Path) -> None:
    """Give the written thing its name; FileExistsError where something has it."""
    if scratch.is_dir():
        if target.exists():
            raise FileExistsError(target)
        try:
            scratch.rename(target)
        except OSError as error:  # a folder that came meanwhile is not replaced
            raise FileExistsError(target) if target.exists() else error from None
    else:
        try:
            os.link(scratch, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with lock(target.with_name(f".{target.name}.lock"), str(target), timeout_s=60.0):
                if target.exists():
                    raise FileExistsError(target) from None
                scratch.replace(target)
    _flush_entry(target.parent)


def _exchange(scratch: Path, target: Path) -> None:
    if not target.exists() or not (scratch.is_dir() or target.is_dir()):
        scratch.replace(target)
    else:
        old = _scratch_name(target)
        target.rename(old)
        try:
            scratch.rename(target)
        except BaseException:
            old.rename(target)
            raise
        _remove(old)
    _flush_entry(target.parent)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_all(paths: Iterable[Path]) -> None:
    """Flush files and folders at once: together they wait for the disk about as long as one."""
    with ThreadPoolExecutor(_FLUSHES) as pool:
        for _ in pool.map(_flush_entry, set(paths)):
            pass


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems flush no folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for _ in range(2):  # what failed once to go may go now; else it is a leftover
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
