"""Interpolate a stellar grid: along one axis with the others on nodes, or along all four.

Along an axis the interpolant is the not-a-knot cubic spline over the whole axis. It is linear in
the node values, so everything here is weights on nodes; `coverage` says what happens around
missing ones. Nothing here returns NaN.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.coverage import box_weights, line_weights, refusal
from simlib.stellar.grid import continuum_on
from simlib.stellar.spline import spline_weights

__all__ = ["interpolate_axis", "interpolate_grid", "spline_weights"]

Parameter = float | np.ndarray
DARKEST = 1e-6  # of the continuum: below it a root of optical depth tells nothing


def interpolate_grid(
    grid: xr.Dataset,
    *,
    teff: Parameter,
    logg: Parameter,
    feh: Parameter,
    alpha: Parameter,
    through: str = "flux",
) -> xr.Dataset:
    """Return the spectrum anywhere in the grid: cubic along each of the four axes.

    Parameters are scalars, or arrays that broadcast to (n,); then the result has the dimension
    `spectrum`. Returns `flux_normalized` and `continuum` (erg s-1 cm-2 AA-1), each interpolated
    by itself, and `wavelength_model` (nm, vacuum). A row does not depend on the others.
    through: what of the normalised flux is splined, the flux itself or the root of its optical
    depth, "root_depth", whose error is a tenth smaller (README). On a node both give its flux.
    Raises InputError outside the grid, or where missing nodes leave no value.
    """
    if through not in THROUGH:
        raise InputError(f"no interpolation through {through!r}; there is {', '.join(THROUGH)}")
    forward, back = THROUGH[through]
    columns = np.broadcast_arrays(*np.atleast_1d(teff, logg, feh, alpha))
    points = [dict(zip(AXES, row, strict=True)) for row in np.stack(columns, axis=-1)]
    weights = np.stack([box_weights(grid, point) for point in points])
    flux = back(_weigh(grid["flux_normalized"], grid["present"].values, weights, forward))
    continuum = _weigh(grid["continuum"], grid["present"].values, weights)
    result = _spectra(grid, flux, continuum)
    is_single = all(np.ndim(value) == 0 for value in (teff, logg, feh, alpha))
    return result.isel(spectrum=0) if is_single else result


def interpolate_axis(
    grid: xr.Dataset, axis: str, *, teff: float, logg: float, feh: float, alpha: float
) -> xr.Dataset:
    """Return the spectrum on a line of the grid: cubic along `axis`, the others on nodes.

    What is interpolated is the flux density itself (normalised flux × continuum), as the
    simulator does. Returns the same variables as `interpolate_grid`.
    Raises InputError for a parameter off its nodes, out of range, or beside a missing node.
    """
    if axis not in AXES:
        raise InputError(f"no axis {axis!r} in a stellar grid; there are {', '.join(AXES)}")
    point = {"teff": teff, "logg": logg, "feh": feh, "alpha": alpha}
    mask = _line(grid, axis, point)
    present = grid["present"].values[mask]
    along = line_weights(grid[axis].values, present, point[axis], axis)
    if along is None:
        raise refusal(grid, point, mask)
    used = np.flatnonzero(along)
    weights, nodes = along[used], np.argwhere(mask)[used]
    fixed = {name: int(nodes[0][i]) for i, name in enumerate(AXES) if name != axis}
    line = grid[["flux_normalized", "continuum"]].isel(fixed)
    on_model = continuum_on(grid, grid["wavelength_model"].values, nodes)
    flux = line["flux_normalized"].values[used] * on_model
    continuum = weights @ line["continuum"].values[used].astype(np.float64)
    normalized = (weights @ flux) / (weights @ on_model)
    return _spectra(grid, normalized[None], continuum[None]).isel(spectrum=0)


def node_index(grid: xr.Dataset, name: str, value: float) -> int:
    """Return the position of a node value on an axis; InputError where there is no such node."""
    nodes = grid[name].values
    nearest = int(np.argmin(np.abs(nodes - value)))
    if not np.isclose(nodes[nearest], value, rtol=1e-6, atol=1e-6):
        listed = ", ".join(f"{node:g}" for node in nodes)
        raise InputError(f"{name} = {value:g} is not a node of the grid; its nodes are {listed}")
    return nearest


def _line(grid: xr.Dataset, axis: str, point: dict[str, float]) -> np.ndarray:
    """Return the mask of the nodes on the line along `axis` through the point."""
    mask = np.zeros(grid["present"].shape, dtype=bool)
    fixed = {name: node_index(grid, name, point[name]) for name in AXES if name != axis}
    mask[tuple(fixed.get(name, slice(None)) for name in AXES)] = True
    return mask


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def root_depth(flux_normalized: np.ndarray) -> np.ndarray:
    """Return the root of -ln(flux), with its sign: saturated lines grow nearly straight in it."""
    depth = -np.log(np.maximum(flux_normalized, DARKEST))
    return np.asarray(np.copysign(np.sqrt(np.abs(depth)), depth))


def from_root_depth(root: np.ndarray) -> np.ndarray:
    """Return the normalised flux of a root of optical depth."""
    return np.asarray(np.exp(-root * np.abs(root)))


THROUGH = {"flux": (_as_it_is, _as_it_is), "root_depth": (root_depth, from_root_depth)}


def _weigh(
    values: xr.DataArray,
    present: np.ndarray,
    weights: np.ndarray,
    forward: Callable[[np.ndarray], np.ndarray] = _as_it_is,
) -> np.ndarray:
    """Return (rows, wavelength): one temperature at a time, so that a store is read in slices."""
    result = np.zeros((len(weights), values.shape[-1]))
    for i in range(values.shape[0]):
        used = (weights[:, i] != 0).any(axis=0) & present[i]
        if not used.any():
            continue
        block = forward(values[i].values[used].astype(np.float64))
        for row, of_row in enumerate(weights[:, i]):  # a product of matrices would mix rows
            result[row] += of_row[used] @ block
    return result


def _spectra(grid: xr.Dataset, flux: np.ndarray, continuum: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {
            "flux_normalized": (
                ("spectrum", "wavelength_model"),
                flux,
                grid["flux_normalized"].attrs,
            ),
            "continuum": (("spectrum", "wavelength_continuum"), continuum, grid["continuum"].attrs),
        },
        coords={name: grid[name] for name in ("wavelength_model", "wavelength_continuum")},
        attrs={
            "grid": grid_name(grid),
            "medium": grid.attrs["medium"],
            "resolution": grid.attrs["resolution"],
        },
    )


def grid_name(grid: xr.Dataset) -> str:
    """Return the grid's name and version, for messages and attributes."""
    return f"{grid.attrs.get('name', 'unnamed')} {grid.attrs['version']}"
