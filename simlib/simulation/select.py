"""The exact median of float32 values, faster than sorting them.

Floats in the order of their bit patterns, as integers, are in the order of their values. The rank
is closed in on by counting the values below a pivot, which takes no branch and so runs over many
values at a time; pivots come from the ranks found so far, and from halving every third time.
"""

from typing import Any

import numpy as np
from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_HALVE_EVERY = 3
_SIGN = np.int32(0x7FFFFFFF)
_ONE, _NONE = np.int32(1), np.int32(0)


@njit(**_OPTIONS)
def two_middles(values, scratch):
    """Return the two middle values (twice the same for an odd count); no value may be NaN.

    scratch: float32, at least as long; it is overwritten.
    """
    count = len(values)
    bits, keys = values.view(np.int32), scratch[:count].view(np.int32)
    for i in range(count):
        keys[i] = bits[i] ^ ((bits[i] >> np.int32(31)) & _SIGN)
    lower = _ranked(keys, (count - 1) // 2)
    upper = lower
    if count % 2 == 0 and _count_below(keys, lower + 1) <= count // 2:
        upper = _least_from(keys, lower + 1)
    both = np.empty(2, np.int32)
    both[0] = lower ^ ((lower >> np.int32(31)) & _SIGN)
    both[1] = upper ^ ((upper >> np.int32(31)) & _SIGN)
    middles = both.view(np.float32)
    return middles[0], middles[1]


@njit(**_OPTIONS)
def _ranked(keys, rank):
    """Return the value that `rank` others come before."""
    least, largest = keys[0], keys[0]
    for i in range(len(keys)):
        least, largest = min(least, keys[i]), max(largest, keys[i])
    low, high = np.int64(least), np.int64(largest) + 1
    below_low, below_high = 0, len(keys)  # values below low and below high
    steps = 0
    while high - low > 1 and below_high - below_low > 1:
        steps += 1
        share = 0.5
        if steps % _HALVE_EVERY:
            share = (rank - below_low + 0.5) / (below_high - below_low)
        pivot = min(max(low + np.int64(share * (high - low)), low + 1), high - 1)
        below = _count_below(keys, pivot)
        if below <= rank:
            low, below_low = pivot, below
        else:
            high, below_high = pivot, below
    return np.int32(_least_from(keys, low))


@njit(**_OPTIONS)
def _count_below(keys, pivot):
    limit, below = np.int32(pivot), _NONE
    for i in range(len(keys)):
        below = np.int32(below + (_ONE if keys[i] < limit else _NONE))
    return np.int64(below)


@njit(**_OPTIONS)
def _least_from(keys, limit):
    """Return the least value not below the limit."""
    from_here, least = np.int32(limit), _SIGN
    for i in range(len(keys)):
        least = min(least, keys[i] if keys[i] >= from_here else _SIGN)
    return least
