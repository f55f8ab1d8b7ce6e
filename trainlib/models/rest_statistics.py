"""The statistics of training spectra in the rest frame, as a network there is told them."""

from dataclasses import dataclass

import numpy as np
import torch

from trainlib.models.statistics import principal_basis
from trainlib.rest.axis import RestAxis, spline_coefficients
from trainlib.rest.statistics import RestStatistics

_LEAST_WEIGHT = 0.03  # of the mean weight, at points that are seldom observed
_LEAST_VARIANCE = 1e-9  # of the first component's: rounding must not make it nothing
_LEAST_SPREAD = 1e-6  # of stars: some ranges are a point


@dataclass(frozen=True)
class RestSample:
    """Training spectra: true values and weights (rows, points), stars (rows, 4)."""

    values: np.ndarray
    weights: np.ndarray
    stars: np.ndarray


def rest_statistics(
    axis: RestAxis,
    redshifts: tuple[float, float],
    sample: RestSample,
    noise_shape: np.ndarray,
    rank: int,
    seed: int,
) -> RestStatistics:
    """Return the statistics of a sample, of whose weights the mean is 1 over the pixels."""
    curves = torch.from_numpy(sample.values)
    mean = curves.mean(dim=0)
    metric = torch.from_numpy(sample.weights).mean(dim=0).clamp(min=_LEAST_WEIGHT)
    vectors, eigenvalues = principal_basis((curves - mean) * metric.sqrt(), rank, seed)
    spread = np.maximum(sample.stars.std(axis=0), _LEAST_SPREAD)
    return RestStatistics(
        axis=np.array([axis.observed, axis.rest, axis.pitch]),
        redshifts=np.array(redshifts, dtype=float),
        mean=spline_coefficients(mean[None].numpy())[0],
        metric=metric.numpy(),
        vectors=spline_coefficients((vectors / metric.sqrt()).numpy()),
        eigenvalues=eigenvalues.clamp(min=_LEAST_VARIANCE * float(eigenvalues[0])).numpy(),
        noise_shape=noise_shape,
        stars=np.stack([sample.stars.mean(axis=0), spread]).astype(np.float32),
    )
