"""Counter-based uniform random numbers that belong to a row, not to a process.

Row i of a split has fixed positions of one Philox stream, so it is the same for any block size,
worker count and order, and can be made again alone. The split is part of the key: row i of two
splits never agrees.
"""

from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.random import Generator, Philox

PER_ROW = 16  # uniforms a row owns; a multiple of the 4 that one Philox step gives
_PER_STEP = 4


class Split(IntEnum):
    """Which set of a dataset; part of the random key."""

    train = 0
    validation = 1
    test = 2


class Purpose(IntEnum):
    """What the numbers are for; part of the random key."""

    draws = 0
    training_noise = 1
    augmentation = 2
    evaluation_noise = 3
    target_noise = 4
    target_conditions = 5
    masks = 6
    stacks = 7


def stream_key(seed: int, split: Split, purpose: Purpose) -> list[int]:
    """Return the Philox key of one stream."""
    return [seed, 16 * split + purpose]


def uniforms(seed: int, split: Split, purpose: Purpose, rows: np.ndarray) -> np.ndarray:
    """Return the (n, 16) uniforms in [0, 1) of n rows, given by number in any order."""
    key, out = stream_key(seed, split, purpose), np.empty((len(rows), PER_ROW))
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for first, last in pairwise([0, *breaks.tolist(), len(rows)]):
        if first < last:  # rows that follow one another come from one stream, which costs less
            counter = [int(rows[first]) * (PER_ROW // _PER_STEP), 0, 0, 0]
            out[first:last] = Generator(Philox(key=key, counter=counter)).random(
                (last - first, PER_ROW)
            )
    return out


def normals(seed: int, split: Split, purpose: Purpose, row: int, count: int) -> np.ndarray:
    """Return (count,) standard normals of a row, which has a stream of its own."""
    stream = Philox(key=stream_key(seed, split, purpose), counter=[0, row, 0, 0])
    return Generator(stream).standard_normal(count)
