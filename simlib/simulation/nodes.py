"""Which nodes of the stellar grid a spectrum is made of, and how much of each.

The interpolation is linear in the node spectra, so it is a row of weights: those of the global
cubic spline along one axis (paper, section 2.1), or of all four axes at once.
"""

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.interpolate import spline_weights

_ON_NODE = 1e-6


def node_weights(grid: xr.Dataset, parameters: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return flat node numbers and weights, both (spectra, most nodes); unused places weigh 0.

    Raises InputError for a parameter off its axis, off a node where it should be on one, or a
    spectrum that needs a missing node.
    """
    shape = tuple(grid.sizes[name] for name in AXES)
    axis = parameters["interpolated_axis"].values
    most = int(np.prod(shape)) if np.any(axis < 0) else max(shape)
    numbers = np.zeros((len(axis), most), dtype=np.int64)
    weights = np.zeros((len(axis), most))
    for kind in np.unique(axis):
        rows = np.flatnonzero(axis == kind)
        free = range(len(AXES)) if kind < 0 else (int(kind),)
        n, w = _product_of_axes(grid, parameters.isel(spectrum=rows), free)
        numbers[rows, : n.shape[1]], weights[rows, : w.shape[1]] = n, w
    _require_present(grid, parameters, numbers, weights)
    return numbers, weights


def _product_of_axes(
    grid: xr.Dataset, parameters: xr.Dataset, free: range | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of rows that share their interpolated axes."""
    count = parameters.sizes["spectrum"]
    numbers, weights = np.zeros((count, 1), dtype=np.int64), np.ones((count, 1))
    for number, name in enumerate(AXES):
        nodes, values = grid[name].values, parameters[name].values
        if number in free:
            places = np.broadcast_to(np.arange(len(nodes)), (count, len(nodes)))
            share = spline_weights(nodes, values)
        else:
            places = _on_nodes(name, nodes, values)[:, np.newaxis]
            share = np.ones((count, 1))
        numbers = numbers[:, :, np.newaxis] * len(nodes) + places[:, np.newaxis]
        weights = weights[:, :, np.newaxis] * share[:, np.newaxis]
        numbers, weights = numbers.reshape(count, -1), weights.reshape(count, -1)
    return numbers, weights


def _on_nodes(name: str, nodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    nearest = np.abs(values[:, np.newaxis] - nodes).argmin(axis=1)
    off = np.abs(values - nodes[nearest]) > _ON_NODE * np.maximum(1.0, np.abs(values))
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InputError(
            f"row {row}: {name} = {values[row]:g} is no node of the stellar grid "
            f"({', '.join(f'{node:g}' for node in nodes)}) and {name} is not the interpolated "
            "axis; use a node, or interpolated_axis = all"
        )
    return np.asarray(nearest)


def _require_present(
    grid: xr.Dataset, parameters: xr.Dataset, numbers: np.ndarray, weights: np.ndarray
) -> None:
    missing = ~np.asarray(grid["present"].values).ravel()[numbers] & (weights != 0.0)
    if missing.any():
        row, place = np.argwhere(missing)[0]
        node = np.unravel_index(numbers[row, place], tuple(grid.sizes[name] for name in AXES))
        where = ", ".join(f"{n} {grid[n].values[i]:g}" for n, i in zip(AXES, node, strict=True))
        star = ", ".join(f"{n} {parameters[n].values[row]:g}" for n in AXES)
        raise InputError(f"row {row} ({star}) needs the grid's missing node {where}; move the star")
