"""The exact median of float32 values, faster than sorting them.

The rank is closed in on by counting how many values lie below pivots: counting takes no branch and
so runs over many values at a time, and three pivots cost little more than one. A few sampled values
give the first pivots; others lie where values spread evenly would have the rank, and to both sides
of there. Which pivots are tried changes the time, never the result.
"""

from typing import Any

import numpy as np

from simlib.jit import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_SAMPLED, _SAMPLE_LOW, _SAMPLE_HIGH = 16, 4, 11  # values, and the ranks that enclose their median
_SPREAD = 0.5  # between pivots, in roots of the number of values that are left
_HALVE_EVERY = 4
_SIGN, _LEAST = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
_ONE, _NONE = np.int32(1), np.int32(0)
_INFINITY = np.float32(np.inf)


def middle_of_seen(values: np.ndarray, none: float) -> np.ndarray:
    """Return (rows, 2) the two middle ones of the values in each row that are below infinity.

    values: float32 (rows, n); infinite ones, and what is no number, do not count. none: of a row
    without any.
    """
    out = np.empty((len(values), 2), np.float32)
    _middle_rows(np.ascontiguousarray(values), np.float32(none), out)
    return out


@njit(**_OPTIONS)
def _middle_rows(values, none, out):
    seen, scratch = np.empty(values.shape[1], np.float32), np.empty(_SAMPLED, np.float32)
    for row in range(len(values)):
        count = 0
        for i in range(values.shape[1]):
            seen[count] = values[row, i]
            count += values[row, i] < _INFINITY
        out[row] = none
        if count:
            out[row, 0], out[row, 1] = two_middles(seen[:count], scratch)


@njit(**_OPTIONS)
def two_middles(values, scratch):
    """Return the two middle values (twice the same for an odd count); no value may be NaN.

    scratch: float32, 16 values; it is overwritten.
    """
    count = len(values)
    rank = count // 2
    cell = np.empty(1, np.float32)
    bits = cell.view(np.int32)
    sample = scratch[: min(count, _SAMPLED)]
    for i in range(len(sample)):
        sample[i] = values[i * count // len(sample)]
    first, last = _enclosing(sample)
    # Places on the line of floats: `low` has at most `rank` values below it, `high` has more.
    low, high = _place(-_INFINITY, cell, bits), _place(_INFINITY, cell, bits)
    below_low, below_high = 0, count
    steps = 0
    while below_low < rank and high - low > 1:
        start, stop = np.float64(_value(low, cell, bits)), np.float64(_value(high, cell, bits))
        if steps == 0:
            a, c = first, last
            b = np.float32(0.5 * (np.float64(a) + np.float64(c)))
        elif steps % _HALVE_EVERY == 0 or not np.isfinite(stop - start):
            a = _value(low + max((high - low) // 4, 1), cell, bits)
            b = _value(low + max((high - low) // 2, 1), cell, bits)
            c = _value(high - max((high - low) // 4, 1), cell, bits)
        else:
            left = below_high - below_low
            share, spread = (rank - below_low) / left, _SPREAD / np.sqrt(left)
            a = np.float32(start + max(share - spread, 0.0) * (stop - start))
            b = np.float32(start + share * (stop - start))
            c = np.float32(start + min(share + spread, 1.0) * (stop - start))
        steps += 1
        counts = _count_below(values, a, b, c)
        for pivot, below in zip((a, b, c), counts):  # noqa: B905 (compiled: no keyword)
            place = _place(pivot, cell, bits)
            if below <= rank:
                if place > low:
                    low, below_low = place, below
            elif place < high:
                high, below_high = place, below
    upper = _value(low, cell, bits)
    if below_low < rank:  # all values that are left are the same
        return upper, upper
    return _beside(values, upper, count % 2 == 1)


@njit(**_OPTIONS)
def _enclosing(sample):
    """Return two sampled values that the middle lies between, most likely."""
    low, high = -_INFINITY, _INFINITY
    for i in range(len(sample)):
        below = _NONE
        for j in range(len(sample)):
            below = np.int32(below + (_ONE if sample[j] < sample[i] else _NONE))
        share = below * _SAMPLED // len(sample)
        if share <= _SAMPLE_LOW:
            low = max(low, sample[i])
        if share >= _SAMPLE_HIGH:
            high = min(high, sample[i])
    return low, high


@njit(**_OPTIONS)
def _place(value, cell, bits):
    """Return where a float is among all, as a number: neighbours are one apart.

    cell, bits: one value as a float and as an integer, the same memory.
    """
    cell[0] = value
    return np.int64(bits[0] ^ ((bits[0] >> np.int32(31)) & _SIGN))


@njit(**_OPTIONS)
def _value(place, cell, bits):
    number = np.int32(place)
    bits[0] = number ^ ((number >> np.int32(31)) & _SIGN)
    return cell[0]


@njit(**_OPTIONS)
def _count_below(values, a, b, c):
    below_a, below_b, below_c = _NONE, _NONE, _NONE
    for i in range(len(values)):
        below_a = np.int32(below_a + (_ONE if values[i] < a else _NONE))
        below_b = np.int32(below_b + (_ONE if values[i] < b else _NONE))
        below_c = np.int32(below_c + (_ONE if values[i] < c else _NONE))
    return np.int64(below_a), np.int64(below_b), np.int64(below_c)


@njit(**_OPTIONS)
def _beside(values, pivot, is_odd):
    """Return the largest value below the pivot and the least from it on, or the latter twice."""
    bits = values.view(np.int32)
    below, above = _LEAST, _SIGN
    for i in range(len(bits)):
        place = np.int32(bits[i] ^ ((bits[i] >> np.int32(31)) & _SIGN))
        is_below = values[i] < pivot
        below = np.int32(max(below, place if is_below else _LEAST))
        above = np.int32(min(above, _SIGN if is_below else place))
    both = np.empty(2, np.int32)
    both[0] = below ^ ((below >> np.int32(31)) & _SIGN)
    both[1] = above ^ ((above >> np.int32(31)) & _SIGN)
    middles = both.view(np.float32)
    return (middles[1] if is_odd else middles[0]), middles[1]
