"""How a dataset's draws cover the nodes of its stellar grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from simlib.parameters import ALL_AXES, AXES
from simlib.stellar.coverage import named_nodes

PAIRS = tuple(combinations(AXES, 2))
_LISTED = 20


@dataclass(frozen=True)
class NodeUse:
    """counts: draws whose nearest node it is, by node. used: whether a drawn line holds it.

    present: whether the grid has it. All over the grid's axes, whose nodes are `nodes`.
    """

    nodes: dict[str, np.ndarray]
    counts: np.ndarray
    used: np.ndarray
    present: np.ndarray

    def of_pair(self, first: str, second: str) -> np.ndarray:
        """Return the draws by the nodes of two axes, the first down and the second along."""
        others = tuple(number for number, name in enumerate(AXES) if name not in (first, second))
        return np.asarray(self.counts.sum(axis=others))

    @property
    def never_used(self) -> np.ndarray:
        """Return the positions (k, 4) of the nodes that are there and that no draw needs."""
        return np.argwhere(self.present & ~self.used)

    def summary(self) -> dict[str, Any]:
        """Return the numbers, and the first nodes that are never used."""
        axes = xr.Dataset(coords=self.nodes)
        return {
            "nodes": int(self.present.size),
            "present": int(self.present.sum()),
            "never_used": len(self.never_used),
            "first_never_used": list(named_nodes(axes, self.never_used[:_LISTED])),
        }


def node_use(grid: xr.Dataset, drawn: Sequence[xr.Dataset]) -> NodeUse:
    """Return how the drawn parameters use the grid's nodes.

    A draw lies on nodes but along one axis, where the spline takes the whole line of nodes, or
    between nodes along all, where it takes every node.
    """
    nodes = {name: grid[name].values.astype(np.float64) for name in AXES}
    shape = tuple(len(nodes[name]) for name in AXES)
    counts, used = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
    for table in drawn:
        nearest = np.stack([_nearest(nodes[name], table[name].values) for name in AXES], axis=1)
        np.add.at(counts, tuple(nearest.T), 1)
        along = table["interpolated_axis"].values
        for axis in range(len(AXES)):
            lines = np.unique(np.delete(nearest[along == axis], axis, axis=1), axis=0)
            np.moveaxis(used, axis, -1)[tuple(lines.T)] = True
        used |= bool((along == ALL_AXES).any())
    present = grid["present"].transpose(*AXES).values
    return NodeUse(nodes, counts, used, np.asarray(present, dtype=bool))


def _nearest(nodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    middles = 0.5 * (nodes[1:] + nodes[:-1])
    return np.asarray(np.searchsorted(middles, values.astype(np.float64)))
