"""A finished store, read lazily; whatever of it is damaged or gone is told where it is read.

Metadata and coordinates are compared with the digests in the manifest when a split is opened, and
taken from what was compared. A chunk carries its crc32c, which is compared; one that is not there
is an error, never a fill value.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore, StorePath, WrapperStore

from simlib.artifact import reading
from simlib.dataset.layout import PIXEL_VARIABLES, VARIABLES, template_names
from simlib.dataset.manifest import Manifest
from simlib.dataset.places import arrays_in
from simlib.dataset.plan import REPAIR, rows_of
from simlib.dataset.shards import ShardedArray
from simlib.errors import InputError
from simlib.fingerprint import digest
from simlib.location import Location
from simlib.retry import may_pass

_PASSING = (OSError, IndexError, MemoryError)  # of the network, of the caller, of the machine


def open_stored(folder: Location, manifest: Manifest, split: str) -> xr.Dataset:
    """Return a split of a store; dims `spectrum`, `wavelength`. Values are read when looked at.

    Raises InputError where metadata or wavelengths are not those that were published, and, when a
    value is looked at, where its chunk is not the one that was written.
    """
    arrays = arrays_in(folder)
    files = _checked_files(arrays, manifest, split)
    with reading(arrays, REPAIR):
        return _assembled(arrays, open_arrays(arrays, split, files))


def open_pixels(folder: Location, manifest: Manifest, split: str) -> dict[str, "StoredArray"]:
    """Return what of a split has a value a pixel, by name, to be read row by row, without xarray.

    Raises as `open_stored` does.
    """
    arrays = arrays_in(folder)
    files = _checked_files(arrays, manifest, split)
    with reading(arrays, REPAIR):
        opened = open_arrays(arrays, split, files)
        return {name: StoredArray(arrays, opened[name]) for name in PIXEL_VARIABLES}


def _assembled(arrays: Location, opened: dict[str, Any]) -> xr.Dataset:
    wavelength = opened.pop("wavelength")
    coordinate = ("wavelength", np.asarray(wavelength[:]), dict(wavelength.attrs))
    variables = {}
    for name, array in opened.items():
        lazy = indexing.LazilyIndexedArray(StoredArray(arrays, array))
        dims = array.metadata.dimension_names
        chunks = {"preferred_chunks": dict(zip(dims, array.chunks, strict=True))}
        variables[name] = xr.Variable(dims, lazy, dict(array.attrs), chunks)
    return xr.Dataset(variables, coords={"wavelength": coordinate})


def _checked_files(arrays: Location, manifest: Manifest, split: str) -> dict[str, bytes]:
    names = ["zarr.json", *template_names(split)]
    files = arrays.read_files(names)
    for name in names:
        if name not in files:
            raise InputError(f"{arrays / name} is not there; {REPAIR}")
        if digest(files[name]) != manifest.template.get(name):
            raise InputError(f"{arrays / name} is damaged: it is not what was written; {REPAIR}")
    return files


def open_arrays(
    arrays: Location, split: str, files: Mapping[str, bytes]
) -> dict[str, zarr.Array[Any]]:
    """Return the Zarr arrays of a split by name, of the metadata in `files`, name to content."""
    store = _Whole(_store_at(arrays), dict(files))
    opened = {}
    for name in (*VARIABLES, "wavelength"):
        place = StorePath(store, f"{split}/{name}")
        opened[name] = zarr.Array(
            zarr.AsyncArray(json.loads(files[f"{place.path}/zarr.json"]), place)
        )
    return opened


def read_values(arrays: Location, array: zarr.Array[Any], key: Any) -> np.ndarray:
    """Return part of an array of the store, of which `key` takes rows, or rows and pixels.

    Raises FileNotFoundError where a file is missing, ValueError or what Zarr raises for damage.
    """
    if array.shards:
        return ShardedArray(arrays, array)[key]
    parts = key if isinstance(key, tuple) else (key,)
    is_basic = not any(isinstance(part, np.ndarray) for part in parts)
    return np.asarray(array[parts] if is_basic else array.oindex[parts])


def _store_at(arrays: Location) -> Store:
    if arrays.is_local:
        return LocalStore(arrays.path, read_only=True)
    behind = arrays.zarr
    return FsspecStore.from_url(
        behind["store"], storage_options=behind["storage_options"], read_only=True
    )


class _Whole(WrapperStore[Store]):
    """A store whose chunks are all there, and whose small files are those that were checked."""

    def __init__(self, store: Store, files: dict[str, bytes]) -> None:
        super().__init__(store)
        self.files = files

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file or a part of it; FileNotFoundError where Zarr would take fill values."""
        if (known := self.files.get(key)) is not None:
            return prototype.buffer.from_bytes(known)
        found = await self._store.get(key, prototype, byte_range)
        if not found:
            raise FileNotFoundError(f"{key} is {'not there' if found is None else 'empty'}")
        return found


class StoredArray(BackendArray):
    """One variable, as xarray indexes it; (rows, pixels) or (rows,)."""

    def __init__(self, arrays: Location, array: Any) -> None:
        self.arrays, self.array = arrays, array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what the key asks for."""
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        with self._damage_told(key):
            return read_values(self.arrays, self.array, key)

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Put all pixels of these rows into `out`; InputError where they are damaged."""
        with self._damage_told((rows,)):
            self._sharded.read_into(rows, out)

    @cached_property
    def _sharded(self) -> ShardedArray:
        return ShardedArray(self.arrays, self.array)

    @contextmanager
    def _damage_told(self, key: tuple[Any, ...]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            is_passing = isinstance(error, _PASSING) and not isinstance(error, FileNotFoundError)
            if is_passing or may_pass(error):
                raise
            raise self._explained(key, error) from error

    def _explained(self, key: tuple[Any, ...], error: Exception) -> Exception:
        """Return the error that names the damaged file; the error itself where none is damaged."""
        rows = np.atleast_1d(rows_of(key[0], self.shape[0]))
        size = (self.array.shards or self.array.chunks)[0]
        for start in np.unique(rows // size) * size:
            stop = min(int(start) + size, self.shape[0])
            try:
                read_values(self.arrays, self.array, slice(int(start), stop))
            except Exception as reason:
                if may_pass(reason):
                    return reason
                lines = str(reason).splitlines() or [type(reason).__name__]
                return InputError(
                    f"{self.arrays}: {self.array.path} of rows {start} to {stop - 1} is damaged "
                    f"({lines[0]}); {REPAIR}"
                )
        return error
