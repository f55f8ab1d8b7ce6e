"""Open a stellar grid by name or path: one shape whatever its origin (see `schema`)."""

from functools import lru_cache

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.location import Location, Options, Place
from simlib.parameters import AXES
from simlib.stellar.default import open_default
from simlib.stellar.schema import grid_fingerprint
from simlib.stellar.store import METADATA, is_store
from simlib.stellar.stored_grid import identity_of, open_store
from simlib.stellar.toy import open_toy

__all__ = ["KNOWN_GRIDS", "continuum_on", "grid_fingerprint", "open_grid", "open_grid_kept"]

KNOWN_GRIDS = {"default": open_default, "toy": open_toy}


def open_grid(name_or_place: Place = "default") -> xr.Dataset:
    """Return a stellar grid: one of KNOWN_GRIDS by name, or the store at a place.

    The default is mapped from the cache and a store is read lazily, so opening reads no flux;
    every worker opens its own, a grid never travels in a task.
    Raises InputError where there is neither such a name nor a finished store.
    """
    if isinstance(name_or_place, str) and name_or_place in KNOWN_GRIDS:
        return KNOWN_GRIDS[name_or_place]()
    place = Location.of(name_or_place)
    if is_store(place):
        return open_store(place)
    if (place / "present" / METADATA).exists():
        raise InputError(
            f"the stellar grid {place} is not complete; run `specdenoise grid import` again, it "
            "does the rest"
        )
    raise InputError(
        f"no stellar grid {str(name_or_place)!r}: neither a known name ({', '.join(KNOWN_GRIDS)}) "
        "nor the path of a grid store; `specdenoise grid import` makes one"
    )


def open_grid_kept(name_or_place: Place) -> xr.Dataset:
    """Return a grid as `open_grid` does, the same one again as long as what is there is the same.

    For workers, which ask before every block: a store that was replaced is opened anew.
    """
    if isinstance(name_or_place, str) and name_or_place in KNOWN_GRIDS:
        return _opened(name_or_place, None)
    place = Location.of(name_or_place)
    return _opened(place, identity_of(place))


@lru_cache(maxsize=2)
def _opened(place: Place, identity: str | None) -> xr.Dataset:
    grid = open_grid(place)
    if isinstance(place, Location) and identity_of(place) != identity:
        raise InputError(f"the stellar grid {place} was replaced while it was opened; run again")
    return grid


def grid_place(name: str, options: Options | None = None) -> Place:
    """Return a known grid's name as it is, all else as a path or URL; options: for a URL."""
    return name if name in KNOWN_GRIDS else Location.of(name, options)


def continuum_on(
    grid: xr.Dataset, wavelength_nm: np.ndarray, nodes: np.ndarray | None = None
) -> np.ndarray:
    """Return the continuum of nodes at any wavelengths, cubic in wavelength, float64.

    wavelength_nm: (n,), vacuum, within `wavelength_continuum`. nodes: (k, 4) integer positions on
    the axes in the order of AXES, giving (k, n); None gives all nodes, the axes that a selection of
    the grid still has × n. A missing node
    gives NaN.
    """
    known = grid["wavelength_continuum"].values
    low, high = np.min(wavelength_nm), np.max(wavelength_nm)
    if low < known[0] or high > known[-1]:
        raise InputError(
            f"continuum asked for {low:.2f}-{high:.2f} nm, the grid has it for "
            f"{known[0]:.2f}-{known[-1]:.2f} nm"
        )
    continuum = grid["continuum"].transpose(*AXES, "wavelength_continuum", missing_dims="ignore")
    values = (
        continuum.values
        if nodes is None
        else np.stack([continuum[tuple(int(i) for i in node)].values for node in nodes])
    )
    result = np.full((*values.shape[:-1], np.size(wavelength_nm)), np.nan)
    there = np.isfinite(values).all(axis=-1)  # a missing node holds NaN, which no spline takes
    smooth = CubicSpline(known, values[there].astype(np.float64), axis=-1)
    result[there] = smooth(wavelength_nm)
    return result
