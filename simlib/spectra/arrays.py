"""Arrays of a file that may hold anything, as numbers of the shape that was expected."""

import numpy as np

from simlib.errors import InputError

MOST_VALUES = 500_000_000  # of an array


def numbers(values: object, what: str) -> np.ndarray:
    """Return an array as float64 in this machine's byte order, what is masked in it as NaN.

    what: it is, for the message. Raises InputError for what is no numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        kind = "text" if array.dtype.kind in "OUS" else str(array.dtype)[:40]
        raise InputError(f"its {what} holds {kind}; numbers were expected")
    if array.size > MOST_VALUES:
        raise InputError(f"its {what} has {array.size} values; at most {MOST_VALUES} are read")
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.ascontiguousarray(array, dtype=np.float64)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        found = np.where(np.ma.getmaskarray(values), np.nan, found)
    return found


def integers(values: object, what: str) -> np.ndarray:
    """Return an array of integers in this machine's byte order; InputError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(f"its {what} holds {str(array.dtype)[:40]}; integers were expected")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))


def inverted(inverse_variance: np.ndarray) -> np.ndarray:
    """Return the variance of an inverse variance: infinite where that is zero or none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(inverse_variance > 0.0, 1.0 / inverse_variance, np.inf)


def squared(error: np.ndarray) -> np.ndarray:
    """Return the variance of a sigma; a negative sigma has none."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(error > 0.0, np.square(error), np.inf)


def rows(values: np.ndarray, count: int, what: str) -> np.ndarray:
    """Return an array as (count, pixels): one row serves all; InputError for another number."""
    if values.ndim == 1:
        values = np.broadcast_to(values, (count, values.size))
    if values.ndim != 2 or len(values) != count:
        raise InputError(f"its {what} has the shape {values.shape}; {count} rows were expected")
    return values
