"""The one shape of a stellar grid in memory, and its checksums.

Whatever a grid was made from, it is a Dataset with the four parameter axes, the flux divided by
the true continuum, the continuum itself and a mask that says which nodes exist. Wavelengths are
nm in vacuum. Nodes that do not exist hold NaN and are never used: see `coverage`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.parameters import AXES

COORDINATES = (*AXES, "wavelength_model", "wavelength_continuum")
REQUIRED_ATTRS = ("medium", "resolution", "source", "version", "license")

AXIS_ATTRS = {
    "teff": {"units": "K", "long_name": "effective temperature"},
    "logg": {"units": "dex(cm s-2)", "long_name": "surface gravity"},
    "feh": {"units": "dex", "long_name": "metallicity [M/H]"},
    "alpha": {"units": "dex", "long_name": "alpha enhancement [alpha/M]"},
}
WAVELENGTH_ATTRS = {"units": "nm", "medium": "vacuum"}


def assemble(
    axes: Mapping[str, np.ndarray],
    *,
    wavelength_model: np.ndarray,
    wavelength_continuum: np.ndarray,
    flux_normalized: Any,
    continuum: Any,
    present: np.ndarray,
    node_checksum: np.ndarray,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Return the grid as a Dataset with units; the flux is kept as given (mapped or chunked).

    axes: node values of each of AXES, increasing. flux_normalized, continuum: axes × wavelength.
    present, node_checksum: one value a node.
    """
    check_attrs(attrs)
    coords = {
        name: (name, np.asarray(axes[name], dtype=np.float64), AXIS_ATTRS[name]) for name in AXES
    }
    for name, values in (
        ("wavelength_model", wavelength_model),
        ("wavelength_continuum", wavelength_continuum),
    ):
        coords[name] = (name, np.asarray(values, dtype=np.float64), WAVELENGTH_ATTRS)
    surface = {"units": "erg s-1 cm-2 AA-1", "long_name": "continuum flux at the surface"}
    normalized = {"units": "1", "long_name": "flux divided by the true continuum"}
    variables = {
        "flux_normalized": ((*AXES, "wavelength_model"), flux_normalized, normalized),
        "continuum": ((*AXES, "wavelength_continuum"), continuum, surface),
        "present": (AXES, present, {"long_name": "whether the node exists"}),
        "node_checksum": (AXES, node_checksum, {"long_name": "first 8 bytes of SHA-256"}),
    }
    return xr.Dataset(variables, coords=coords, attrs=dict(attrs))


def check_attrs(attrs: Mapping[str, Any]) -> None:
    """Raise InputError where a grid does not say what it is."""
    missing = [name for name in REQUIRED_ATTRS if name not in attrs]
    if missing:
        raise InputError(f"a stellar grid must state its {', '.join(missing)}; there is no default")


def node_digest(flux_normalized: np.ndarray, continuum: np.ndarray) -> int:
    """Return 64 bits over one node's float32 flux and continuum."""
    digest = hashlib.sha256(np.ascontiguousarray(flux_normalized, dtype="<f4").data)
    digest.update(np.ascontiguousarray(continuum, dtype="<f4").data)
    return int.from_bytes(digest.digest()[:8], "little")


def node_digests(
    flux_normalized: np.ndarray, continuum: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Return the digest of every node (0 where it does not exist), uint64, shape of `present`."""
    digests = np.zeros(present.shape, dtype=np.uint64)
    for node in zip(*np.nonzero(present), strict=True):
        digests[node] = node_digest(flux_normalized[node], continuum[node])
    return digests


def grid_checksum(
    coords: Mapping[str, np.ndarray], present: np.ndarray, node_checksum: np.ndarray
) -> str:
    """Return 16 hex digits over the COORDINATES, the mask and all node digests."""
    ordered = (np.asarray(coords[name], dtype="<f8") for name in COORDINATES)
    mask, digests = np.asarray(present, dtype=np.uint8), np.asarray(node_checksum, dtype="<u8")
    return checksum(*ordered, mask, digests)


def checksum_of(grid: xr.Dataset, digests: np.ndarray) -> str:
    """Return the checksum of a grid whose nodes have these digests."""
    return grid_checksum(
        {name: grid[name].values for name in COORDINATES}, grid["present"].values, digests
    )


def grid_fingerprint(grid: xr.Dataset) -> str:
    """Return 16 hex digits over axes, data, resolution and medium.

    A grid that is mapped from a file or read lazily from a store cannot have been changed in
    memory, so its recorded checksum is used; of any other the data are hashed.
    """
    recorded = grid.attrs.get("checksum")
    if recorded is None or _is_changeable(grid):
        flux, continuum = grid["flux_normalized"].values, grid["continuum"].values
        digests = node_digests(flux, continuum, grid["present"].values)
        recorded = checksum_of(grid, digests)
    axes = {name: grid[name].values for name in AXES}
    return fingerprint(axes, recorded, float(grid.attrs["resolution"]), grid.attrs["medium"])


def _is_changeable(grid: xr.Dataset) -> bool:
    flux = grid["flux_normalized"].variable
    if not flux._in_memory:  # `.data` would read a lazy array from its store
        return False
    return not isinstance(flux.data, np.ndarray) or bool(flux.data.flags.writeable)
