"""The noise level of a spectrum, as a network's input and as a filter's strength."""

import torch
from torch import Tensor

FEATURES = 3
_TYPICAL = 0.05  # of sigma at a median flux of 0.5: S/N 10
_SMALLEST = 1e-6
_PIXELS = 256  # enough for a median


def noise_level(variance: Tensor, noise_shape: Tensor) -> Tensor:
    """Return (rows, 1) median of sigma / noise_shape, in normalised flux, over some pixels."""
    some = slice(None, None, max(1, variance.shape[1] // _PIXELS))
    sigma = variance[:, some].clamp(min=_SMALLEST**2).sqrt() / noise_shape[some]
    return sigma.median(dim=1, keepdim=True).values


def level_features(level: Tensor) -> Tensor:
    """Return (rows, 3) functions of the logarithm of the level, of order 1."""
    log = torch.log(level / _TYPICAL)
    return torch.cat([log, log.square() / 2.0, torch.tanh(log)], dim=1)


def wiener_gain(eigenvalues: Tensor, level: Tensor) -> Tensor:
    """Return (rows, rank) share of a coefficient that is signal: l / (l + s^2)."""
    return eigenvalues / (eigenvalues + level.square())
