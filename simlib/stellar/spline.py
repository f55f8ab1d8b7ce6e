"""Weights of the global not-a-knot cubic spline: the interpolant is linear in the node values."""

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from simlib.errors import InputError


def spline_weights(nodes: np.ndarray, x: np.ndarray | float, name: str = "x") -> np.ndarray:
    """Return the weight of each node in the spline's value at x, float64, x.shape + (n_nodes,).

    nodes: increasing. On a node the weights are exactly 0 and 1. Fewer than four nodes give the
    interpolating polynomial. name: what x is, for the message.
    Raises InputError where x leaves the nodes: nothing is extrapolated.
    """
    nodes = np.asarray(nodes, dtype=np.float64)
    x = np.asarray(x, dtype=np.float64)
    outside = ~((x >= nodes[0]) & (x <= nodes[-1]))
    if outside.any():
        raise InputError(
            f"{name} = {x[outside].flat[0]:g} is outside the grid's axis "
            f"[{nodes[0]:g}, {nodes[-1]:g}]; narrow its range or choose another grid"
        )
    weights = np.asarray(_basis(tuple(nodes))(x)) if len(nodes) > 1 else np.ones((*x.shape, 1))
    on_node = x[..., None] == nodes
    return np.where(on_node.any(axis=-1, keepdims=True), on_node.astype(np.float64), weights)


def spline_slopes(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the weight of each node in the spline's first derivative at x, x.shape + (n_nodes,).

    nodes, x: as of `spline_weights`, within its bounds. One node has no slope.
    """
    if len(nodes) == 1:
        return np.zeros((*np.shape(x), 1))
    return np.asarray(_basis(tuple(np.asarray(nodes, dtype=np.float64)))(x, 1))


@lru_cache(maxsize=256)
def _basis(nodes: tuple[float, ...]) -> CubicSpline:
    return CubicSpline(nodes, np.eye(len(nodes)), bc_type="not-a-knot")
