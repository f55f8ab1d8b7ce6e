"""Check every node of a grid against its digest, and the whole against what a grid must be.

A store's metadata, axes, mask and digests were compared when it was opened; this reads the rest.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.coverage import named_nodes
from simlib.stellar.schema import checksum_of
from simlib.stellar.store import WAVELENGTHS, plane_digests
from simlib.stellar.stored_grid import ReplacedError


@dataclass(frozen=True)
class Verification:
    """What is wrong with a grid; nothing where `problems` is empty."""

    nodes: int  # checked
    damaged: list[dict[str, float]]  # nodes whose data are not those that were written
    problems: list[str]


def verify_grid(grid: xr.Dataset) -> Verification:
    """Read all data of a grid and compare them with its digests and its checksum."""
    if "node_checksum" not in grid:
        raise InputError("this grid has no digests of its nodes; import it again")
    recorded = grid["node_checksum"].values
    found = np.zeros_like(recorded)
    problems = list(_wrong_axes(grid))
    for position in np.ndindex(*recorded.shape[:2]):
        at = dict(zip(AXES, position, strict=False))
        flux, continuum = (_readable(grid[name].isel(at)) for name in WAVELENGTHS)
        found[position] = plane_digests(flux, continuum)
        is_finite = np.isfinite(flux).all(axis=-1) & np.isfinite(continuum).all(axis=-1)
        bad = grid["present"].values[position] & ~is_finite
        if bad.any():
            problems.append(f"{bad.sum()} present nodes hold NaN at {_named(grid, position)}")
    found[~grid["present"].values] = 0
    damaged = list(named_nodes(grid, np.argwhere(found != recorded)))
    if checksum_of(grid, recorded) != grid.attrs["checksum"]:
        problems.append("axes, wavelengths, mask or digests are not those of the checksum")
    return Verification(int(grid["present"].sum()), damaged, problems)


def _readable(plane: xr.DataArray) -> np.ndarray:
    """Return (feh, alpha, wavelength), NaN for the nodes of a store that are damaged."""
    try:
        return np.asarray(plane.values)
    except ReplacedError:
        raise
    except InputError:
        values = np.full(plane.shape, np.nan, dtype=plane.dtype)
    for node in np.ndindex(*plane.shape[:2]):
        with suppress(InputError):
            values[node] = plane[node].values
    return values


def _wrong_axes(grid: xr.Dataset) -> list[str]:
    names = (*AXES, "wavelength_model", "wavelength_continuum")
    return [f"{name} does not increase" for name in names if (np.diff(grid[name]) <= 0).any()]


def _named(grid: xr.Dataset, position: tuple[int, ...]) -> str:
    pairs = zip(AXES, position, strict=False)
    return ", ".join(f"{name} {grid[name].values[i]:g}" for name, i in pairs)
