"""How noisy a spectrum is, by those of its pixels that are seen."""

import numpy as np

_EVERY = 8  # pixels of which a median is taken: enough, and quick


def median_of_seen(values: np.ndarray, none: float) -> np.ndarray:
    """Return (rows, 1) medians of values (rows, pixels) that are finite; infinite ones are masked.

    none: of a row without any. The median is of some pixels, of all where none of these is seen.
    """
    median = _median(values[:, ::_EVERY])
    blind = np.isnan(median[:, 0])
    if blind.any():
        median[blind] = _median(values[blind])
    return np.where(np.isnan(median), values.dtype.type(none), median)


def _median(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values, axis=1)  # infinite ones stand last
    count = np.count_nonzero(ordered < np.inf, axis=1)
    middle = np.maximum(count - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[:, np.newaxis], axis=1)
    median[count == 0] = np.nan
    return median
