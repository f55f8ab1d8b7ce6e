"""Tables of the compiled path, kept on disk as one file each that all processes map and share.

A file is a line of JSON that names the arrays, then the arrays as they are in memory. It is written
beside its place and renamed into it, so that a reader sees all of it or nothing; of several
processes that need it at once, one makes it and the others wait.
"""

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import xarray as xr

from simlib.config import Stellar
from simlib.fingerprint import checksum, fingerprint
from simlib.simulation.line_spread import LineSpread
from simlib.simulation.templates import Templates, make_templates
from simlib.stellar.default import lock
from simlib.stellar.grid import grid_fingerprint

_VERSION = 6  # of what is kept on disk
_ALIGNMENT = 4096  # bytes: arrays begin on a page of memory


def cache_folder() -> Path:
    """Return the folder for what can always be made again (SPECDENOISE_CACHE moves it)."""
    fallback = platformdirs.user_cache_dir("specdenoise")
    return Path(os.environ.get("SPECDENOISE_CACHE", fallback))


def templates_for(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> Templates:
    """Return the templates of this set-up, from the cache or made now and put there."""
    path = cache_folder() / "templates" / f"{_identity(grid, line_spread, stellar)}.tables"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.with_suffix(".lock")):
            if not path.is_file():
                write_tables(path, make_templates(grid, line_spread, stellar))
    return read_tables(str(path))


def _identity(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> str:
    arrays = [line_spread.wavelength, line_spread.lsf_sigma]
    if (profile := line_spread.profile) is not None:
        arrays += [profile.wavelength, profile.offset, profile.share]
    return fingerprint(
        _VERSION, grid_fingerprint(grid), line_spread.template_resolution, checksum(*arrays),
        stellar.band, stellar.r_v, stellar.redshift, stellar.ebv,
    )  # fmt: skip


def write_tables(path: Path, templates: Templates) -> None:
    """Write the tables as one file, whole or not at all."""
    arrays = {field.name: getattr(templates, field.name) for field in fields(templates)}
    head: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        head[name] = {"dtype": array.dtype.str, "shape": array.shape, "offset": end}
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    line = json.dumps(head).encode()
    line += b" " * (-(len(line) + 1) % _ALIGNMENT) + b"\n"
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".making-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            for name, array in arrays.items():
                file.seek(len(line) + head[name]["offset"])
                file.write(np.ascontiguousarray(array).data)
            file.truncate(len(line) + end)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(scratch).unlink()


@lru_cache(maxsize=4)
def read_tables(path: str) -> Templates:
    """Map the tables of a file; no byte of them is read before it is used."""
    with Path(path).open("rb") as file:
        line = file.readline()
    whole = np.memmap(path, dtype=np.uint8, mode="r")
    arrays = {}
    for name, entry in json.loads(line).items():
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        start = len(line) + entry["offset"]
        stop = start + dtype.itemsize * int(np.prod(shape))
        arrays[name] = np.asarray(whole[start:stop]).view(dtype).reshape(shape)
    return Templates(**arrays)
