"""What a network in the rest frame is told of its training set: mean and principal basis there.

The basis is that of noiseless augmented spectra in the metric of the weights that pixels give to
the points of the rest axis, so that sky lines and the seldom observed margins count for less:
with V the values of its rows and W the metric, V W V' = 1. White noise of a spectrum stays white
in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from trainlib.models.rest.axis import RestAxis, spline_coefficients
from trainlib.models.statistics import principal_basis

_LEAST_WEIGHT = 0.03  # of the mean weight, at points that are seldom observed
_LEAST_VARIANCE = 1e-9  # of the first component's: rounding must not make it nothing


@dataclass(frozen=True)
class RestStatistics:
    """Figures of a training set in the rest frame; curves are spline coefficients (points,).

    axis: observed and rest start, pitch, nm, float64. redshifts: the range that is searched.
    mean, metric: (points,). vectors: (rank, points). eigenvalues: (rank,). noise_shape: (pixels,),
    sigma over its median, the mean over spectra. stars: (2, 4), mean and spread of teff, logg,
    feh, alpha.
    """

    axis: Tensor
    redshifts: Tensor
    mean: Tensor
    metric: Tensor
    vectors: Tensor
    eigenvalues: Tensor
    noise_shape: Tensor
    stars: Tensor

    @property
    def rest_axis(self) -> RestAxis:
        """Return the axis that the curves lie on."""
        observed, rest, pitch = self.axis.tolist()
        return RestAxis(observed, rest, pitch, len(self.noise_shape), len(self.mean))


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
    noise_shape: Tensor,
    rank: int,
    seed: int,
) -> RestStatistics:
    """Return the statistics of a sample, of whose weights the mean is 1 over the pixels."""
    curves = torch.from_numpy(sample.values)
    mean = curves.mean(dim=0)
    metric = torch.from_numpy(sample.weights).mean(dim=0).clamp(min=_LEAST_WEIGHT)
    vectors, eigenvalues = principal_basis((curves - mean) * metric.sqrt(), rank, seed)
    stars = torch.from_numpy(sample.stars)
    spread = stars.std(dim=0, correction=0).clamp(min=1e-6)  # some ranges are a point
    return RestStatistics(
        axis=torch.tensor([axis.observed, axis.rest, axis.pitch], dtype=torch.float64),
        redshifts=torch.tensor(redshifts, dtype=torch.float64),
        mean=_spline(mean[None])[0],
        metric=metric,
        vectors=_spline(vectors / metric.sqrt()),
        eigenvalues=eigenvalues.clamp(min=_LEAST_VARIANCE * float(eigenvalues[0])),
        noise_shape=noise_shape,
        stars=torch.stack([stars.mean(dim=0), spread]).float(),
    )


def _spline(values: Tensor) -> Tensor:
    return torch.from_numpy(spline_coefficients(values.numpy()))


def statistics_in(state: Mapping[str, Tensor]) -> RestStatistics:
    """Return the statistics that a network's state holds. Raises KeyError where it holds none."""
    return RestStatistics(*(state[field.name].cpu() for field in fields(RestStatistics)))


def empty_rest_statistics(axis: RestAxis, rank: int) -> RestStatistics:
    """Return statistics of the right shapes, to be filled."""
    return RestStatistics(
        axis=torch.zeros(3, dtype=torch.float64),
        redshifts=torch.zeros(2, dtype=torch.float64),
        mean=torch.zeros(axis.points),
        metric=torch.ones(axis.points),
        vectors=torch.zeros(rank, axis.points),
        eigenvalues=torch.ones(rank),
        noise_shape=torch.ones(axis.pixels),
        stars=torch.ones(2, 4),
    )
