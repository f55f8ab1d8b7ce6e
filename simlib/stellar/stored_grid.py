"""Open a grid store: every byte that is read is checked where it is read.

Metadata, coordinates, mask and digests when the grid is opened; the flux and continuum of a node,
by the checksum of its chunk, when they are used. A grid that was opened and then replaced or
removed is told at the next reading: old metadata never meet new flux.
"""

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from xarray.backends import BackendArray
from xarray.core import indexing

from simlib.artifact import FORMAT_VERSION, reading
from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location
from simlib.parameters import AXES
from simlib.stellar.schema import COORDINATES, assemble, grid_checksum
from simlib.stellar.store import (
    LAYOUT,
    METADATA,
    WAVELENGTHS,
    array_at,
    array_digest,
    plane_digests,
)

if TYPE_CHECKING:
    import zarr

_SEALS = {"arrays", "digest", "format_version"}  # of the store, not of the grid
_WAY_OUT = "remove it and import the grid again"


class ReplacedError(InputError):
    """A store that was opened is another one now, or none."""


class Attributes(BaseModel):
    """What the group of a store says, at least."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    format_version: int
    medium: Literal["vacuum"]
    resolution: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    source: str
    version: str
    license: str
    checksum: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    arrays: dict[str, str]  # digest of the metadata of each
    digest: str  # of all other attributes


class Version(BaseModel):
    """The part of a group's attributes that all formats share."""

    format_version: int


class Group(BaseModel):
    """The group's own file."""

    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[str, Any]


def identity_of(place: Location) -> str | None:
    """Return what changes whenever the store there does, None where there is none."""
    data = (place / METADATA).read_bytes()
    return None if data is None else hashlib.sha256(data).hexdigest()


def open_store(place: Location) -> xr.Dataset:
    """Return a published store as a grid; its flux and continuum are read when they are used.

    Not through Dask: a worker's task that computed a Dask array would wait for its own scheduler.
    Raises InputError where there is none, or where it is no grid, damaged, or of another format.
    """
    data = (place / METADATA).read_bytes()
    if data is None:
        raise InputError(f"no stellar grid at {place}")
    attributes = _attributes(place, data)
    arrays = {name: _array(place, name, attributes) for name in LAYOUT}
    _check_layout(place, arrays)
    small = {name: _values(place, name, arrays[name]) for name in LAYOUT if name not in WAVELENGTHS}
    _check_axes(place, small)
    present, digests = small["present"], small["node_checksum"]
    if grid_checksum(small, present, digests) != attributes.checksum:
        raise InputError(
            f"{place}: axes, wavelengths, mask or digests are not those that were written; "
            f"{_WAY_OUT}"
        )
    identity = hashlib.sha256(data).hexdigest()
    lazy: dict[str, Any] = {
        name: indexing.LazilyIndexedArray(NodeArray(place, name, arrays[name], present, identity))
        for name in WAVELENGTHS
    }
    return assemble(
        {name: small[name] for name in AXES},
        **{name: small[name] for name in WAVELENGTHS.values()},
        **lazy,
        present=present,
        node_checksum=digests,
        attrs=attributes.model_dump(exclude=_SEALS),
    )


def read_plane_digests(place: Location, position: tuple[int, int]) -> np.ndarray:
    """Return the digests of what one (Teff, log g) holds, of a store that may be unfinished.

    Raises InputError where it is damaged.
    """
    arrays = ((name, array_at(place, name)) for name in WAVELENGTHS)
    return plane_digests(*(_values(place, name, array, position) for name, array in arrays))


class NodeArray(BackendArray):
    """Flux or continuum of all nodes, read when asked; nothing that was not written comes out."""

    def __init__(
        self,
        place: Location,
        name: str,
        array: "zarr.Array[Any]",
        present: np.ndarray,
        identity: str,
    ) -> None:
        """Keep what is needed to read. present: the mask of the nodes; identity: of the store."""
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)
        self._place, self._name, self._array = place, name, array
        self._present, self._identity = present, identity

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        """Return a part, as xarray asks for it."""
        result: np.ndarray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return result

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        """Return a part; key: a position or slice an axis."""
        try:
            values = _values(self._place, self._name, self._array, key)
        finally:
            self._check_identity()
        *nodes, along = key
        first = values[..., 0] if isinstance(along, slice) and values.shape[-1] else values
        lost = np.isnan(first) & self._present[tuple(nodes)] if first.size else np.False_
        if np.any(lost):
            raise InputError(
                f"{self._place}: {self._name} misses {int(np.sum(lost))} of the nodes that were "
                f"written; {_which(self._place)}"
            )
        return values

    def _check_identity(self) -> None:
        if identity_of(self._place) != self._identity:
            raise ReplacedError(
                f"the stellar grid {self._place} was replaced or removed while it was in use; run "
                "again with what is there now"
            )


def _which(place: Location) -> str:
    return f"`specdenoise grid verify {place}` tells which; {_WAY_OUT}"


def _attributes(place: Location, data: bytes) -> Attributes:
    """Return what the group says, compared with its digest."""
    where = f"{place / METADATA}"
    try:
        attributes = Group.model_validate_json(data).attributes
        version = Version.model_validate(attributes).format_version
        if version != FORMAT_VERSION:
            raise InputError(
                f"the stellar grid {place} has format {version}, this version reads "
                f"{FORMAT_VERSION}; {_WAY_OUT}"
            )
        checked = Attributes.model_validate(attributes)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "its top"
        raise InputError(
            f"{place} is no stellar grid: {where}: {at}: {first['msg']}; a store is made by "
            "`specdenoise grid import`"
        ) from None
    if fingerprint({k: v for k, v in attributes.items() if k != "digest"}) != checked.digest:
        raise InputError(f"{where} is damaged or was edited; {_WAY_OUT}")
    return checked


def _array(place: Location, name: str, attributes: Attributes) -> "zarr.Array[Any]":
    """Return an array whose metadata are those that were written."""
    if attributes.arrays.get(name) != array_digest(place, name):
        raise InputError(f"{place / name / METADATA} is missing, damaged or was edited; {_WAY_OUT}")
    with reading(place / name, _WAY_OUT):
        return array_at(place, name)


def _values(place: Location, name: str, array: "zarr.Array[Any]", key: Any = ...) -> np.ndarray:
    """Return what an array holds; InputError where a checksum in it does not fit."""
    with reading(place / name, _which(place)):
        return np.asarray(array[key])


def _check_layout(place: Location, arrays: "dict[str, zarr.Array[Any]]") -> None:
    """Raise InputError where arrays do not fit together."""
    sizes = {name: (*arrays[name].shape, 0)[0] for name in COORDINATES}
    for name, (dims, dtype) in LAYOUT.items():
        found = arrays[name]
        expected = (tuple(sizes[dim] for dim in dims), np.dtype(dtype), dims)
        named = tuple(getattr(found.metadata, "dimension_names", None) or ())
        if (found.shape, found.dtype, named) != expected:
            raise InputError(
                f"{place} is no stellar grid: {name} is {found.dtype} {named} {found.shape}, "
                f"expected {expected[1]} {dims} {expected[0]}"
            )


def _check_axes(place: Location, coords: dict[str, np.ndarray]) -> None:
    for name in COORDINATES:
        values, least = coords[name], 1 if name in AXES else 2
        if len(values) < least or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
            raise InputError(
                f"{place} is no stellar grid: {name} must hold at least {least} finite, increasing "
                f"values, it holds {np.array2string(values, threshold=6, edgeitems=2)}"
            )
