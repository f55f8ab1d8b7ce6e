"""How noisy a spectrum is, by those of its pixels that are seen."""

import torch
from torch import Tensor

_EVERY = 8  # pixels of which a median is taken: enough, and quick


def median_of_seen(values: Tensor, none: float) -> Tensor:
    """Return (rows, 1) medians of values (rows, pixels) that are finite; infinite ones are masked.

    none: of a row without any. The median is of some pixels, of all where none of these is seen.
    """
    median = seen_median(values[:, ::_EVERY])
    if (blind := median.isnan()[:, 0]).any():
        median[blind] = seen_median(values[blind])
    return median.nan_to_num(nan=none)


def seen_median(values: Tensor) -> Tensor:
    """Return (rows, 1) medians of what is finite of values (rows, pixels); NaN: nothing is."""
    seen = values.where(values < torch.inf, torch.nan)
    median: Tensor = seen.nanmedian(dim=1, keepdim=True).values
    return median
