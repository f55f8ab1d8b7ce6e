"""Arrays of a file that may hold anything, as numbers of the shape that was expected."""

import numpy as np

from simlib.errors import InputError

MOST_VALUES = 500_000_000  # of an array


def numbers(values: object, what: str) -> np.ndarray:
    """Return an array as float64 in this machine's byte order, what is masked in it as NaN.

    what: it is, for the message. Raises InputError for what is no numbers.
    """
    array = as_numbers(values, what)
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.ascontiguousarray(array, dtype=np.float64)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        found = np.where(np.ma.getmaskarray(values), np.nan, found)
    return found


def as_numbers(values: object, what: str) -> np.ndarray:
    """Return an array of numbers as it is, of whatever type; InputError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        kind = "text" if array.dtype.kind in "OUS" else str(array.dtype)[:40]
        raise InputError(f"its {what} holds {kind}; numbers were expected")
    if array.size > MOST_VALUES:
        raise InputError(f"its {what} has {array.size} values; at most {MOST_VALUES} are read")
    return array


def marks(values: object, what: str) -> np.ndarray:
    """Return where an array is true or not 0; what is masked in it, or no number, is marked too."""
    array = np.asarray(values)
    if array.dtype.kind != "b":
        return np.asarray(numbers(values, what) != 0)
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(array | np.ma.getmaskarray(values))
    return array


def integers(values: object, what: str) -> np.ndarray:
    """Return an array of integers in this machine's byte order; InputError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(f"its {what} holds {str(array.dtype)[:40]}; integers were expected")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))


def rows(values: np.ndarray, count: int, what: str) -> np.ndarray:
    """Return an array as (count, pixels): one row serves all; InputError for another number."""
    if values.ndim == 1:
        values = np.broadcast_to(values, (count, values.size))
    if values.ndim != 2 or len(values) != count:
        raise InputError(f"its {what} has the shape {values.shape}; {count} rows were expected")
    return values
