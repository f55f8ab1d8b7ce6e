"""Which nodes of a grid exist, and how to interpolate around those that do not.

An axis is splined over the unbroken stretch of present nodes around the point. A point that lies
on a missing node, or between a missing node and its neighbour, has no value and is refused.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.spline import spline_weights

LISTED = 5  # missing nodes named in a message


def line_weights(
    nodes: np.ndarray, present: np.ndarray, x: float, name: str = "x"
) -> np.ndarray | None:
    """Return weights (n_nodes,) of the spline over the stretch of present nodes around x.

    None where x is on or beside a missing node. Raises InputError outside the axis.
    """
    if present.all():
        return spline_weights(nodes, x, name)
    touched = np.flatnonzero(touched_weights(nodes, x, name))
    if not present[touched].all():
        return None
    first, last = touched[0], touched[-1]
    while first > 0 and present[first - 1]:
        first -= 1
    while last < len(nodes) - 1 and present[last + 1]:
        last += 1
    weights = np.zeros(len(nodes))
    weights[first : last + 1] = spline_weights(nodes[first : last + 1], x, name)
    return weights


def touched_weights(nodes: np.ndarray, x: float, name: str = "x") -> np.ndarray:
    """Return the weights (n_nodes,) of linear interpolation: non-zero at the touched nodes."""
    spline_weights(nodes, x, name)  # refuses what is outside
    return np.array([np.interp(x, nodes, row) for row in np.eye(len(nodes))])


def box_weights(grid: xr.Dataset, point: Mapping[str, float]) -> np.ndarray:
    """Return the weight of every node in the interpolation along all four axes, shape of axes.

    The last axis is splined first on every line, then the one before it over the lines that have
    a value, and so on. Raises InputError where missing nodes leave no value, and names them.
    """
    present = grid["present"].values
    axes = [(grid[name].values, float(point[name]), name) for name in AXES]
    if present.all():
        along = [spline_weights(*axis) for axis in axes]
        return np.asarray(np.einsum("i,j,k,l->ijkl", *along))
    weights = _nested(axes, present)
    if weights is None:
        raise refusal(grid, point, _touched(axes))
    return weights


def _nested(axes: list[tuple[np.ndarray, float, str]], present: np.ndarray) -> np.ndarray | None:
    (nodes, x, name), *rest = axes
    if not rest:
        return line_weights(nodes, present, x, name)
    below = [_nested(rest, plane) for plane in present]
    usable = np.array([weights is not None for weights in below])
    along = line_weights(nodes, usable, x, name)
    if along is None:
        return None
    empty = np.zeros(present.shape[1:])
    parts = zip(along, below, strict=True)
    return np.stack([empty if b is None or w == 0 else w * b for w, b in parts])


def _touched(axes: list[tuple[np.ndarray, float, str]]) -> np.ndarray:
    along = [touched_weights(*axis) != 0 for axis in axes]
    return np.asarray(np.einsum("i,j,k,l->ijkl", *along))


def missing_nodes(grid: xr.Dataset) -> list[dict[str, float]]:
    """Return the parameters of every node that does not exist."""
    return list(named_nodes(grid, np.argwhere(~grid["present"].values)))


def named_nodes(grid: xr.Dataset, positions: np.ndarray) -> Iterable[dict[str, float]]:
    """Yield the parameters of nodes given by their positions on the axes, (k, 4)."""
    axes = [grid[name].values for name in AXES]
    for position in positions:
        yield {name: float(axis[i]) for name, axis, i in zip(AXES, axes, position, strict=True)}


def refusal(grid: xr.Dataset, point: Mapping[str, float], needed: np.ndarray) -> InputError:
    """Return the error that names the nodes of the mask `needed` that do not exist."""
    positions = np.argwhere(needed & ~grid["present"].values)
    names = "; ".join(_text(node) for node in named_nodes(grid, positions[:LISTED]))
    more = f" and {len(positions) - LISTED} more" if len(positions) > LISTED else ""
    return InputError(
        f"no spectrum at {_text(point)}: the grid {grid.attrs.get('name', '')!r} misses the nodes "
        f"{names}{more}; draw again or narrow the ranges of [stellar]"
    )


def _text(at: Mapping[str, float]) -> str:
    return " ".join(f"{name}={at[name]:g}" for name in AXES)
