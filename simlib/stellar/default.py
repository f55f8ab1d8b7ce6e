"""The embedded grid: packed in the package, expanded once into a cache, then mapped from there.

The cache is SPECDENOISE_CACHE, or the platform's folder for caches. Its file is written beside
its place and renamed into it, so that a reader sees all of it or nothing; of several processes
that open the grid at once, one expands it and the others wait.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import platformdirs
import xarray as xr

from simlib.errors import InputError
from simlib.stellar import packed
from simlib.stellar.shape import AXES, assemble

CACHE_VARIABLE = "SPECDENOISE_CACHE"


def open_default() -> xr.Dataset:
    """Return the embedded grid, its flux mapped from the cache (read-only)."""
    index, arrays = read_index(), read_small_arrays()
    path = ensure_expanded(index["attrs"]["checksum"], arrays)
    return assemble(
        {name: arrays[name] for name in AXES},
        flux_normalized=np.load(path, mmap_mode="r"),
        attrs=index["attrs"],
        **{name: values for name, values in arrays.items() if name not in AXES},
    )


def package_files() -> Traversable:
    """Return the folder of the packed grid inside the package."""
    return resources.files("simlib.stellar") / "data"


def read_index() -> dict[str, Any]:
    """Return the packed grid's index: format, attributes, digest of every file."""
    index: dict[str, Any] = json.loads((package_files() / "index.json").read_text("utf-8"))
    return index


def read_small_arrays() -> dict[str, np.ndarray]:
    """Return everything but the flux: axes, wavelengths, continuum, mask, node digests."""
    with np.load(BytesIO((package_files() / "axes.npz").read_bytes())) as arrays:
        return dict(arrays)


def cache_folder() -> Path:
    """Return the folder that holds expanded grids; it need not exist yet."""
    configured = os.environ.get(CACHE_VARIABLE)
    root = Path(configured) if configured else platformdirs.user_cache_path("specdenoise")
    return root / "grids"


def expanded_path(checksum: str) -> Path:
    """Return where the expanded flux of the grid with this checksum belongs."""
    return cache_folder() / f"default-{checksum}.npy"


def ensure_expanded(checksum: str, arrays: dict[str, np.ndarray]) -> Path:
    """Expand the packed flux into the cache unless it is there; return its path."""
    path = expanded_path(checksum)
    shape = (*arrays["present"].shape, len(arrays["wavelength_model"]))
    if is_expanded(path, shape):
        return path
    size = 4e-6 * np.prod(shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.with_suffix(".lock")):
            if not is_expanded(path, shape):
                expand(path, arrays["teff"], shape)
    except OSError as error:
        raise InputError(
            f"the stellar grid cannot be expanded into {path.parent}: {error.strerror or error}. "
            f"It needs {size:.0f} MB there; set {CACHE_VARIABLE} to a folder that has them"
        ) from error
    return path


def is_expanded(path: Path, shape: tuple[int, ...]) -> bool:
    """Say whether the cache holds a whole array of that shape."""
    try:
        mapped = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(mapped.shape == shape and mapped.dtype == np.float32)


def expand(path: Path, teff: np.ndarray, shape: tuple[int, ...]) -> None:
    """Write the float32 flux as one .npy file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write_flux(stream, teff, shape)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def write_flux(stream: BinaryIO, teff: np.ndarray, shape: tuple[int, ...]) -> None:
    """Write header and flux, one temperature after the other."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for block in unpacked(teff, shape):
        stream.write(np.ascontiguousarray(block, dtype="<f4").data)


def unpacked(teff: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the float32 flux of each temperature, (logg, feh, alpha, wavelength_model)."""
    for value in teff:
        compact = (package_files() / f"flux_t{value:.0f}.xz").read_bytes()
        yield packed.from_steps(packed.decompress(compact, shape[1:]))


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of that file; the system frees it when its holder dies.

    A file system without locks gives none: then several processes may do the same work, which
    harms nobody since the result is renamed into place.
    """
    with path.open("a") as stream:
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
