"""Arrays that are made once, kept in the cache, and then mapped by every process that needs them.

One file in the format of safetensors holds them, with a crc32c of each among its metadata. These
are compared when a process first opens the file, so that a flipped bit, a cut or a foreign file is
noticed; then the arrays are made again. A file that was replaced since is opened anew.
"""

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import google_crc32c
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from simlib import cache
from simlib.artifact import lock, publishing
from simlib.location import Location

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

_DTYPES = {"F32": "<f4", "F64": "<f8"}
_NAME = "name"  # among the metadata: what the arrays are, so that no other file is taken for it
_WAIT_S = 1800.0  # for another process that makes the same arrays
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
           RecursionError)  # fmt: skip


def kept_arrays(kind: str, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays (float32, float64) of that name, mapped and read-only; made where absent.

    kind: of the cache. name: says all that shapes the arrays. Of several processes that need them
    at once, one makes them and the others wait. Where they cannot be kept they are returned all
    the same, with one warning. Raises InputError where there is no cache.
    """
    file = f"{name}.safetensors"
    for path in kept_files(kind, name):
        if (arrays := open_arrays(path)) is not None:
            return arrays
    path = cache.writable(kind) / file
    made = None
    try:
        with lock(path.with_name(f"{file}.lock"), str(path), _WAIT_S):
            if (arrays := open_arrays(path)) is not None:
                return arrays
            made = make()
            write_arrays(path, made)
    except OSError as error:
        cache.warn_once(
            f"{path} cannot be kept ({error}), so every process makes it again; set "
            f"{cache.VARIABLE} to a folder that has room"
        )
    arrays = open_arrays(path)
    return arrays if arrays is not None else _read_only(made or make())


def kept_files(kind: str, name: str) -> list[Path]:
    """Return the files that hold the arrays of that name, the likelier first."""
    return [path for path in cache.places(kind, f"{name}.safetensors") if path.is_file()]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as one file, whole or not at all, in place of one that is there.

    Makes room within the cache's limit. Raises OSError where it cannot be written.
    """
    plain = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    sums = {key: _checksum(array) for key, array in plain.items()}
    cache.make_room(path.parent, sum(array.nbytes for array in plain.values()))
    with publishing(Location.of(path), replace=True) as scratch:
        scratch.path.touch()
        mode = scratch.path.stat().st_mode  # as the umask has it; the library's is 0600
        try:
            save_file(plain, scratch.path, metadata=sums | {_NAME: path.name})
        except SafetensorError as error:  # which hides a full disk
            raise OSError(str(error)) from error
        scratch.path.chmod(mode)


def open_arrays(path: Path) -> Arrays | None:
    """Return the arrays of a file, mapped and read-only; None where there is no whole file."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        about = os.stat(path)
        identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        try:
            return _mapped(str(path), identity)
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            log.warning("%s is damaged (%s) and will be made again", path, error)
    return None


@lru_cache(maxsize=8)
def _mapped(path: str, identity: tuple[int, ...]) -> Arrays:
    """Map a file of this identity, and compare its checksums: 40 ms for 240 MB."""
    whole = np.memmap(path, dtype=np.uint8, mode="r")
    begin = 8 + int.from_bytes(whole[:8].tobytes(), "little")
    head = json.loads(whole[8:begin].tobytes())
    sums = head.pop("__metadata__")
    if sums.pop(_NAME) != Path(path).name or sums.keys() != head.keys():
        raise ValueError("it holds something else")
    arrays = {}
    for key, entry in head.items():
        start, stop = entry["data_offsets"]
        data = np.asarray(whole[begin + start : begin + stop])
        arrays[key] = data.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        if _checksum(arrays[key]) != sums[key]:
            raise ValueError(f"the checksum of {key} differs")
    cache.mark_used(Path(path))
    return arrays


def _checksum(array: np.ndarray) -> str:
    """Return the crc32c of an array's type, shape and bytes, as text."""
    shaped = google_crc32c.value(f"{array.dtype.str}{array.shape}".encode())
    return f"{google_crc32c.extend(shaped, array.reshape(-1).view(np.uint8)):08x}"


def _read_only(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.setflags(write=False)
    return arrays
