"""Open a stellar grid by name or path: one shape whatever its origin (see `shape`)."""

from pathlib import Path

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.stellar.default import open_default
from simlib.stellar.shape import AXES, grid_fingerprint
from simlib.stellar.toy import open_toy

__all__ = ["KNOWN_GRIDS", "continuum_on", "grid_fingerprint", "open_grid"]

KNOWN_GRIDS = {"default": open_default, "toy": open_toy}


def open_grid(name_or_path: str | Path = "default") -> xr.Dataset:
    """Return a stellar grid: one of KNOWN_GRIDS, or the store at a path or fsspec URL.

    The default is mapped from the cache and a store is chunked, so opening reads no flux; every
    worker opens its own, a grid never travels in a task.
    Raises InputError where there is neither such a name nor a finished store.
    """
    name = str(name_or_path)
    if name in KNOWN_GRIDS:
        return KNOWN_GRIDS[name]()
    raise InputError(
        f"no stellar grid {name!r}: neither a known name ({', '.join(KNOWN_GRIDS)}) nor the path "
        "of a grid store; `specdenoise grid import` makes one"
    )


def continuum_on(
    grid: xr.Dataset, wavelength_nm: np.ndarray, nodes: np.ndarray | None = None
) -> np.ndarray:
    """Return the continuum of nodes at any wavelengths, cubic in wavelength, float64.

    wavelength_nm: (n,), vacuum, within `wavelength_continuum`. nodes: (k, 4) integer positions on
    the axes in the order of AXES, giving (k, n); None gives all nodes, axes × n.
    """
    known = grid["wavelength_continuum"].values
    low, high = np.min(wavelength_nm), np.max(wavelength_nm)
    if low < known[0] or high > known[-1]:
        raise InputError(
            f"continuum asked for {low:.2f}-{high:.2f} nm, the grid has it for "
            f"{known[0]:.2f}-{known[-1]:.2f} nm"
        )
    continuum = grid["continuum"]
    if nodes is not None:
        at = {
            name: ("node", column) for name, column in zip(AXES, np.transpose(nodes), strict=True)
        }
        continuum = continuum.isel({k: xr.DataArray(v[1], dims=v[0]) for k, v in at.items()})
        continuum = continuum.transpose("node", "wavelength_continuum")
    values = np.asarray(continuum.values, dtype=np.float64)
    return np.asarray(CubicSpline(known, values, axis=-1)(wavelength_nm))
