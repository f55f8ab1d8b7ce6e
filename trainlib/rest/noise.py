"""How noisy a spectrum is, by those of its pixels that are seen."""

import numpy as np

from simlib.simulation.compiled.median import middle_of_seen

_EVERY = 8  # pixels of which a median is taken: enough, and quick


def median_of_seen(values: np.ndarray, none: float) -> np.ndarray:
    """Return (rows, 1) medians of values (rows, pixels) that are finite; infinite ones are masked.

    none: of a row without any. The median is of some pixels, of all where none of these is seen.
    """
    median = middle_of_seen(values[:, ::_EVERY], np.nan)[:, :1]
    blind = np.isnan(median[:, 0])
    if blind.any():
        median[blind] = middle_of_seen(values[blind], none)[:, :1]
    return median
