"""Which rows of the prepared tables a spectrum is made of, and how much of each.

The interpolation is linear in the node spectra. Along one axis the global not-a-knot cubic spline
(paper, section 2.1) needs the two nodes around and the spline's second derivatives there, which are
linear in the node spectra too and tabulated beside them:

    S = s y_i + t y_(i+1) + h^2 / 6 ((s^3 - s) M_i + (t^3 - t) M_(i+1)),   s = 1 - t

so four rows make a spectrum, however long the axis. All four axes at once take the product of the
splines' node weights.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.simulation.compiled.kernel import in_fours
from simlib.stellar.interpolate import spline_weights

KINDS = 1 + len(AXES)  # of tables: node spectra, their second derivatives along each axis
_ON_NODE = 1e-6


@dataclass(frozen=True)
class _Nodes:
    """Values of each axis, and which nodes are there, (axes)."""

    axes: dict[str, np.ndarray]
    present: np.ndarray


def second_derivatives(nodes: np.ndarray) -> np.ndarray:
    """Return (n, n): the spline's second derivative at each node, of each node's value."""
    if len(nodes) == 1:
        return np.zeros((1, 1))
    spline = CubicSpline(nodes, np.eye(len(nodes)), bc_type="not-a-knot")
    return np.asarray(spline(nodes, 2))


def table_rows(grid: xr.Dataset, parameters: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers and weights, both (spectra, fours, 4); unused places weigh 0.

    Row kind x nodes + node of the tables belongs to a node: kind 0 is its spectrum, kind 1 + axis
    the second derivative there. Raises InputError for a parameter off its axis, off a node where
    it should be on one, or a spectrum that needs a missing node.
    """
    nodes = _Nodes(
        {name: grid.variables[name].values for name in AXES},
        grid.variables["present"].transpose(*AXES).values,
    )
    axis = parameters.variables["interpolated_axis"].values
    values = {name: parameters.variables[name].values for name in AXES}
    labels = parameters["spectrum"].values
    most = max(nodes.present.size if np.any(axis < 0) else 0, 4)
    numbers, weights = np.zeros((len(axis), most), dtype=np.int64), np.zeros((len(axis), most))
    for kind in np.unique(axis):
        rows = np.flatnonzero(axis == kind)
        some = {name: of_rows[rows] for name, of_rows in values.items()}
        find = _all_axes if kind < 0 else partial(_one_axis, axis=int(kind))
        n, w = find(nodes, some, labels[rows])
        numbers[rows, : n.shape[1]], weights[rows, : w.shape[1]] = n, w
    return in_fours(numbers), in_fours(weights)


def _one_axis(
    grid: _Nodes, parameters: dict[str, np.ndarray], rows: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the four rows and weights of spectra that share their interpolated axis.

    rows: what messages call them.
    """
    shape = grid.present.shape
    nodes, x = grid.axes[AXES[axis]], parameters[AXES[axis]]
    _require_inside(AXES[axis], nodes, x, rows)
    place = np.empty((len(AXES), len(x)), dtype=np.int64)
    for number, name in enumerate(AXES):
        if number != axis:
            place[number] = _on_nodes(name, grid.axes[name], parameters[name], rows)
    last = max(len(nodes) - 2, 0)
    lower = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, last)
    upper = np.minimum(lower + 1, len(nodes) - 1)
    step = np.where(upper > lower, nodes[upper] - nodes[lower], 1.0)
    t = (x - nodes[lower]) / step
    s = 1.0 - t
    bend = step**2 / 6.0
    weights = np.stack([s, t, bend * (s**3 - s), bend * (t**3 - t)], axis=1)
    place[axis] = lower
    low = np.ravel_multi_index(tuple(place), shape)
    place[axis] = upper
    high = np.ravel_multi_index(tuple(place), shape)
    _require_line(grid, place, axis, np.where(t == 0.0, lower, np.where(t == 1.0, upper, -1)), rows)
    derivatives = (1 + axis) * int(np.prod(shape))
    return np.stack([low, high, derivatives + low, derivatives + high], axis=1), weights


def _all_axes(
    grid: _Nodes, parameters: dict[str, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return all nodes and their weights: the product of the four splines."""
    count = len(rows)
    numbers, weights = np.zeros((count, 1), dtype=np.int64), np.ones((count, 1))
    for name in AXES:
        nodes = grid.axes[name]
        _require_inside(name, nodes, parameters[name], rows)
        share = spline_weights(nodes, parameters[name], name)
        numbers = numbers[:, :, np.newaxis] * len(nodes) + np.arange(len(nodes))
        weights = weights[:, :, np.newaxis] * share[:, np.newaxis]
        numbers, weights = numbers.reshape(count, -1), weights.reshape(count, -1)
    missing = ~grid.present.ravel()[numbers] & (weights != 0.0)
    if missing.any():
        row, which = np.argwhere(missing)[0]
        where = np.unravel_index(numbers[row, which], grid.present.shape)
        raise _missing(grid, rows[row], where)
    return numbers, weights


def _require_inside(name: str, nodes: np.ndarray, x: np.ndarray, rows: np.ndarray) -> None:
    outside = ~((x >= nodes[0]) & (x <= nodes[-1]))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"row {rows[row]}: {name} = {x[row]:g} is outside the grid's axis "
            f"[{nodes[0]:g}, {nodes[-1]:g}]; narrow its range or choose another grid"
        )


def _on_nodes(name: str, nodes: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    nearest = np.searchsorted(0.5 * (nodes[1:] + nodes[:-1]), values)
    off = ~(np.abs(values - nodes[nearest]) <= _ON_NODE * np.maximum(1.0, np.abs(values)))
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InputError(
            f"row {rows[row]}: {name} = {values[row]:g} is no node of the stellar grid "
            f"({', '.join(f'{node:g}' for node in nodes)}) and {name} is not the interpolated "
            "axis; use a node, or interpolated_axis = all"
        )
    return np.asarray(nearest)


def _require_line(
    grid: _Nodes, place: np.ndarray, axis: int, on_node: np.ndarray, rows: np.ndarray
) -> None:
    """Refuse a spectrum whose line of nodes has a hole, unless it is on a node that is there."""
    present = grid.present
    if present.all():
        return
    for row in range(place.shape[1]):
        where = place[:, row].copy()
        for number in range(present.shape[axis]) if on_node[row] < 0 else [on_node[row]]:
            where[axis] = number
            if not present[tuple(where)]:
                raise _missing(grid, rows[row], tuple(where))


def _missing(grid: _Nodes, row: object, node: tuple[np.integer, ...]) -> InputError:
    where = ", ".join(f"{n} {grid.axes[n][i]:g}" for n, i in zip(AXES, node, strict=True))
    return InputError(
        f"row {row} needs the grid's missing node {where}, which the spline runs through; "
        "move the star"
    )
