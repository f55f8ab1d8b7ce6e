"""A stellar grid as a Zarr store: a chunk a node, a shard for all abundances of a (Teff, log g).

A store exists for its readers from the moment its checksum is in its attributes, which is
written last.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from simlib.errors import InputError
from simlib.stellar.shape import (
    AXES,
    AXIS_ATTRS,
    FORMAT_VERSION,
    WAVELENGTH_ATTRS,
    check_attrs,
    grid_checksum,
    node_digest,
)
from simlib.storage import Options, exists, join, zarr_options

_CODEC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
WAVELENGTHS = {"flux_normalized": "wavelength_model", "continuum": "wavelength_continuum"}


def open_group(location: str, mode: str, options: Options | None = None) -> zarr.Group:
    """Return the store's root group."""
    return zarr.open_group(
        location,
        mode=mode,  # type: ignore[arg-type]
        zarr_format=3,
        storage_options=zarr_options(location, options),
    )


def is_store(location: str, options: Options | None = None) -> bool:
    """Say whether something that looks like a Zarr store is there."""
    return exists(join(location, "zarr.json"), options)


def create_store(
    location: str,
    coords: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
    options: Options | None = None,
) -> None:
    """Write the metadata of empty arrays and all coordinates. Harmless when done again.

    coords: the node values of AXES and both wavelengths (nm, vacuum).
    """
    group = open_group(location, "a", options)
    group.attrs.put({"format_version": FORMAT_VERSION, **attrs})
    for name, values in coords.items():
        array = _require(group, name, np.shape(values), "float64", dims=(name,), fill=np.nan)
        array.attrs.put(dict(AXIS_ATTRS.get(name, WAVELENGTH_ATTRS)))
        array[:] = values
    nodes = tuple(len(coords[name]) for name in AXES)
    for name, wavelength in WAVELENGTHS.items():
        width = len(coords[wavelength])
        shard = (1, 1, *nodes[2:], width)
        array = _require(
            group, name, (*nodes, width), "float32", (*AXES, wavelength), np.nan, shard
        )
        units = "1" if name == "flux_normalized" else "erg s-1 cm-2 AA-1"
        array.attrs.put({"units": units})
    _require(group, "present", nodes, "bool", AXES, False)
    _require(group, "node_checksum", nodes, "uint64", AXES, 0)


def _require(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    dims: tuple[str, ...],
    fill: float,
    shard: tuple[int, ...] | None = None,
) -> Any:
    if name in group:
        return group[name]
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        shards=shard,
        chunks=shape if shard is None else (1, 1, 1, 1, shape[-1]),
        compressors=[_CODEC],
        fill_value=fill,
        dimension_names=dims,
    )


def write_plane(
    location: str,
    position: tuple[int, int],
    flux_normalized: np.ndarray,
    continuum: np.ndarray,
    options: Options | None = None,
) -> np.ndarray:
    """Write all abundances of one (Teff, log g); return the digest of each node, uint64.

    position: on the first two axes. flux_normalized, continuum: (feh, alpha, wavelength), NaN
    throughout for a missing node, whose digest is 0.
    """
    group = open_group(location, "r+", options)
    planes = (np.asarray(flux_normalized, "<f4"), np.asarray(continuum, "<f4"))
    for name, plane in zip(WAVELENGTHS, planes, strict=True):
        group[name][position] = plane  # type: ignore[index]
    return plane_digests(*planes)


def plane_digests(flux_normalized: np.ndarray, continuum: np.ndarray) -> np.ndarray:
    """Return the digest of each node of a (feh, alpha, wavelength) plane; NaN nodes have 0."""
    digests = np.zeros(flux_normalized.shape[:2], dtype=np.uint64)
    for node in np.ndindex(*digests.shape):
        if not np.isnan(flux_normalized[node]).all():
            digests[node] = node_digest(flux_normalized[node], continuum[node])
    return digests


def finish_store(
    location: str,
    digests: np.ndarray,
    attrs: Mapping[str, Any],
    options: Options | None = None,
) -> str:
    """Write mask and digests, then the attributes with the checksum; return the checksum."""
    group = open_group(location, "r+", options)
    group["present"][...] = digests != 0  # type: ignore[index]
    group["node_checksum"][...] = digests  # type: ignore[index]
    axes = {name: _values(group, name) for name in AXES}
    checksum = grid_checksum(
        axes,
        _values(group, "wavelength_model"),
        _values(group, "wavelength_continuum"),
        digests != 0,
        digests,
    )
    group.attrs.put({"format_version": FORMAT_VERSION, **attrs, "checksum": checksum})
    return checksum


def _values(group: zarr.Group, name: str) -> np.ndarray:
    return np.asarray(group[name][...])  # type: ignore[index]


def write_grid(location: str, grid: xr.Dataset, options: Options | None = None) -> str:
    """Write any grid as a store, one (Teff, log g) at a time; return the checksum."""
    names = (*AXES, *WAVELENGTHS.values())
    attrs = {key: value for key, value in grid.attrs.items() if key != "checksum"}
    create_store(location, {name: grid[name].values for name in names}, attrs, options)
    digests = np.zeros(grid["present"].shape, dtype=np.uint64)
    for position in np.ndindex(*digests.shape[:2]):
        plane = grid.isel(teff=position[0], logg=position[1])
        flux, continuum = (plane[name].where(plane["present"]).values for name in WAVELENGTHS)
        digests[position] = write_plane(location, position, flux, continuum, options)
    return finish_store(location, digests, attrs, options)


def open_store(location: str, options: Options | None = None) -> xr.Dataset:
    """Return a finished store as a grid; its flux and continuum are read when they are used.

    Not through Dask: a worker's task that computed a Dask array would wait for its own scheduler.
    Raises InputError when the store is not finished or is no grid.
    """
    grid: xr.Dataset = xr.open_zarr(
        location,
        chunks=None,
        consolidated=False,
        storage_options=zarr_options(location, options),
    )
    absent = {*AXES, *WAVELENGTHS, *WAVELENGTHS.values(), "present"} - set(grid.variables)
    if absent:
        raise InputError(f"{location} is no stellar grid: it lacks {', '.join(sorted(absent))}")
    if "checksum" not in grid.attrs:
        raise InputError(
            f"the stellar grid {location} is not complete; run `specdenoise grid import` again, it "
            "does the rest"
        )
    check_attrs(grid.attrs)
    small = ["present", "node_checksum"]
    return grid.assign({name: grid[name].load() for name in small})
