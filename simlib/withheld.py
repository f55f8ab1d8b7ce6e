"""Parts of a stellar grid that are left out of what is drawn, to test a network on them.

A star of the paper's sampling lies on a thread: three parameters on nodes, the fourth anywhere. A
thread is withheld whole, or between those nodes that are corners of a cell that is withheld. Which
ones are, follows from the grid alone, whatever the ranges and the seed: two datasets agree.
"""

from collections.abc import Sequence

import numpy as np

_SEED = 20241126


def withheld_intervals(
    shape: Sequence[int], along: int, share: float, is_cells: bool
) -> np.ndarray:
    """Return what is withheld of threads along an axis, (…nodes of the others, intervals).

    shape: nodes of each axis of the grid. share: of the threads, of whole ones or of their
    intervals, about.
    """
    if not is_cells:
        others = [count for number, count in enumerate(shape) if number != along]
        drawn = np.random.default_rng([_SEED, along]).random(others) < share
        return np.repeat(drawn[..., np.newaxis], shape[along] - 1, axis=-1)
    # of the cells that meet in a thread, any one withholds it there
    of_cells = 1.0 - (1.0 - share) ** (1.0 / 2.0 ** (len(shape) - 1))
    cells = np.random.default_rng(_SEED).random([count - 1 for count in shape]) < of_cells
    for number in range(len(shape)):
        if number != along:
            cells = _beside(cells, number)
    return np.moveaxis(cells, along, -1)


def lengths_between(nodes: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return how much of each interval between nodes lies within limits."""
    low, high = limits
    if low < high:
        return np.diff(np.clip(nodes, low, high))
    length = np.zeros(len(nodes) - 1)  # one value, within one interval
    length[min(int(np.searchsorted(nodes, low, side="right")), len(length)) - 1] = 1.0
    return length


def place_between(
    nodes: np.ndarray, limits: tuple[float, float], lengths: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Return values (rows,) within the lengths (rows, intervals); u: uniform numbers (rows,)."""
    ends = np.cumsum(lengths, axis=1)
    wanted = u * ends[:, -1]
    number = np.minimum((ends <= wanted[:, np.newaxis]).sum(axis=1), lengths.shape[1] - 1)
    rows = np.arange(len(u))
    before = ends[rows, number] - lengths[rows, number]
    return np.asarray(np.clip(np.clip(nodes[number], *limits) + (wanted - before), *limits))


def _beside(cells: np.ndarray, number: int) -> np.ndarray:
    """Return of nodes along an axis whether a cell on either side is marked."""
    wide = [(int(axis == number),) * 2 for axis in range(cells.ndim)]
    padded = np.pad(cells, wide)
    first, last = (np.take(padded, range(start, padded.shape[number] + start - 1), axis=number)
                   for start in (0, 1))  # fmt: skip
    return np.asarray(first | last)
