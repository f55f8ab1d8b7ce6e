"""What a spectrum's variance tells a network in the observed frame: its noise, and its masks.

A pixel whose variance is infinite, or is none, is masked.
"""

import torch
from torch import Tensor

FEATURES = 3
_TYPICAL = 0.05  # of sigma at a median flux of 0.5: S/N 10
_SMALLEST = 1e-6
_PIXELS = 256  # enough for a median
_BLIND = 0.5  # of the median flux


def noise_level(variance: Tensor, noise_shape: Tensor) -> Tensor:
    """Return (rows, 1) median of sigma / noise_shape, in normalised flux, over some pixels.

    Over those that are seen; a spectrum without any is as noisy as its flux is large.
    """
    some = slice(None, None, max(1, variance.shape[1] // _PIXELS))
    sigma = variance[:, some].clamp(min=_SMALLEST**2).sqrt() / noise_shape[some]
    return seen_median(sigma).nan_to_num(nan=_BLIND)


def filled(flux_noisy: Tensor, variance: Tensor, mean: Tensor) -> Tensor:
    """Return flux (rows, pixels) with the training set's mean in masked pixels.

    These networks weigh all pixels alike: the mean is what says least of a star, 0 where the input
    is standardised or projected on a basis about it.
    """
    return flux_noisy.where(variance < torch.inf, mean)


def level_features(level: Tensor) -> Tensor:
    """Return (rows, 3) functions of the logarithm of the level, of order 1."""
    log = torch.log(level / _TYPICAL)
    return torch.cat([log, log.square() / 2.0, torch.tanh(log)], dim=1)


def wiener_gain(eigenvalues: Tensor, level: Tensor) -> Tensor:
    """Return (rows, rank) share of a coefficient that is signal: l / (l + s^2)."""
    return eigenvalues / (eigenvalues + level.square())


def seen_median(values: Tensor) -> Tensor:
    """Return (rows, 1) medians of what is finite of values (rows, pixels); NaN: nothing is."""
    seen = values.where(values < torch.inf, torch.nan)
    median: Tensor = seen.nanmedian(dim=1, keepdim=True).values
    return median
