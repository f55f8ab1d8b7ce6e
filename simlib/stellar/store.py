"""A stellar grid as a Zarr store: a chunk a node, a shard for all abundances of a (Teff, log g).

The group's own file is written last, in one step, when all else is flushed: until then there is no
store, from then on nothing in it changes. It holds a digest of every array's metadata and of its
own attributes; every chunk carries its checksum. `stored_grid` reads, and compares them all.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from simlib.artifact import FORMAT_VERSION, create_bytes, flush_tree
from simlib.errors import InputError
from simlib.fingerprint import fingerprint, plain
from simlib.location import Location, Place
from simlib.parameters import AXES
from simlib.stellar.schema import (
    AXIS_ATTRS,
    COORDINATES,
    WAVELENGTH_ATTRS,
    grid_checksum,
    node_digest,
)

if TYPE_CHECKING:
    import zarr

METADATA = "zarr.json"
WAVELENGTHS = {"flux_normalized": "wavelength_model", "continuum": "wavelength_continuum"}
# every array of a store: its dimensions and its type
LAYOUT: dict[str, tuple[tuple[str, ...], str]] = {
    **{name: ((name,), "float64") for name in COORDINATES},
    **{name: ((*AXES, along), "float32") for name, along in WAVELENGTHS.items()},
    "present": (AXES, "bool"),
    "node_checksum": (AXES, "uint64"),
    "file_checksum": (AXES, "uint64"),  # of the file a node was read from; 0: of none
}
_ATTRS: dict[str, dict[str, Any]] = {
    **AXIS_ATTRS,
    **dict.fromkeys(WAVELENGTHS.values(), WAVELENGTH_ATTRS),
    "flux_normalized": {"units": "1"},
    "continuum": {"units": "erg s-1 cm-2 AA-1"},
}


def is_store(place: Location) -> bool:
    """Say whether a store was published there."""
    return (place / METADATA).exists()


def refuse_store(place: Location) -> None:
    """Raise InputError where a store was published: nothing in it changes any more."""
    if is_store(place):
        raise InputError(f"{place} exists; choose another place, or remove it")


def array_at(place: Location, name: str, mode: str = "r") -> "zarr.Array[Any]":
    """Return one array of a store, which need not be published yet."""
    import zarr  # noqa: PLC0415  (slow to load)

    return zarr.open_array(**(place / name).zarr, mode=mode)


def create_arrays(place: Location, coords: Mapping[str, np.ndarray]) -> None:
    """Write the metadata of the arrays that are not there, and the coordinates in any case.

    coords: the node values of AXES and both wavelengths (nm, vacuum), the same each time.
    """
    import zarr  # noqa: PLC0415  (slow to load)
    from zarr.codecs import BloscCodec, Crc32cCodec  # noqa: PLC0415

    codecs = (BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec())
    refuse_store(place)
    sizes = {name: len(values) for name, values in coords.items()}
    for name, (dims, dtype) in LAYOUT.items():
        if (place / name / METADATA).exists():
            continue
        shape = tuple(sizes[dim] for dim in dims)
        is_sharded = name in WAVELENGTHS
        zarr.create_array(
            **(place / name).zarr,
            shape=shape,
            dtype=dtype,
            shards=(1, 1, *shape[2:]) if is_sharded else None,
            chunks=(1, 1, 1, 1, shape[-1]) if is_sharded else shape,
            compressors=codecs,
            fill_value=np.nan if dtype.startswith("float") else 0,
            dimension_names=dims,
            attributes=_ATTRS.get(name, {}),
        )
    for name, values in coords.items():
        array_at(place, name, "r+")[...] = values


def write_plane(
    place: Location, position: tuple[int, int], flux_normalized: np.ndarray, continuum: np.ndarray
) -> np.ndarray:
    """Write all abundances of one (Teff, log g); return the digest of each node, uint64.

    position: on the first two axes. flux_normalized, continuum: (feh, alpha, wavelength), NaN
    throughout for a missing node, whose digest is 0.
    """
    refuse_store(place)
    planes = (np.asarray(flux_normalized, "<f4"), np.asarray(continuum, "<f4"))
    for name, plane in zip(WAVELENGTHS, planes, strict=True):
        array = array_at(place, name, "r+")
        if plane.shape != array.shape[2:]:
            raise ValueError(f"a plane of {name} is {array.shape[2:]}, not {plane.shape}")
        # Zarr reads a shard before it writes it, and a killed import may have left a torn one.
        (place / name / array.metadata.encode_chunk_key((*position, 0, 0, 0))).remove()
        array[position] = plane
    return plane_digests(*planes)


def plane_digests(flux_normalized: np.ndarray, continuum: np.ndarray) -> np.ndarray:
    """Return the digest of each node of a (feh, alpha, wavelength) plane; NaN nodes have 0."""
    digests = np.zeros(flux_normalized.shape[:2], dtype=np.uint64)
    for node in np.ndindex(*digests.shape):
        if not np.isnan(flux_normalized[node]).all():
            digests[node] = node_digest(flux_normalized[node], continuum[node])
    return digests


def publish_store(
    place: Location, digests: np.ndarray, files: np.ndarray, attrs: Mapping[str, Any]
) -> str:
    """Write mask and digests, flush all, and make it a store in one step; return its checksum.

    digests, files: of every node and of the file that it was read from, uint64, 0 where there is
    none. Raises InputError where a store is there, however late it came.
    """
    refuse_store(place)
    small = {"present": digests != 0, "node_checksum": digests, "file_checksum": files}
    for name, values in small.items():
        array_at(place, name, "r+")[...] = values
    coords = {name: np.asarray(array_at(place, name)[...]) for name in COORDINATES}
    checksum = grid_checksum(coords, small["present"], digests)
    attributes = {
        **plain(attrs),
        "format_version": FORMAT_VERSION,
        "checksum": checksum,
        "arrays": {name: array_digest(place, name) for name in LAYOUT},
    }
    if place.is_local:
        for left in place.path.rglob("*.partial"):  # a killed worker's
            left.unlink()
        flush_tree(place.path)
    attributes["digest"] = fingerprint(attributes)
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    if not create_bytes(place / METADATA, (json.dumps(group, indent=1) + "\n").encode()):
        refuse_store(place)
    return checksum


def array_digest(place: Location, name: str) -> str:
    """Return the digest of an array's metadata; of nothing where there is none."""
    return fingerprint(((place / name / METADATA).read_bytes() or b"").decode(errors="replace"))


def write_grid(to: Place, grid: xr.Dataset) -> str:
    """Write any grid as a store, one (Teff, log g) at a time; return the checksum.

    Raises InputError where something is there, finished or not.
    """
    place = Location.of(to)
    if place.exists():
        raise InputError(f"{place} exists; choose another place, or remove it")
    create_arrays(place, {name: grid[name].values for name in COORDINATES})
    digests = np.zeros(grid["present"].shape, dtype=np.uint64)
    for position in np.ndindex(*digests.shape[:2]):
        plane = grid.isel(teff=position[0], logg=position[1])
        flux, continuum = (plane[name].where(plane["present"]).values for name in WAVELENGTHS)
        digests[position] = write_plane(place, position, flux, continuum)
    return publish_store(place, digests, np.zeros_like(digests), grid.attrs)
