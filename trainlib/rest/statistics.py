"""What a network in the rest frame is told of its training set: mean and principal basis there.

The basis is that of noiseless augmented spectra in the metric of the weights that pixels give to
the points of the rest axis, so that sky lines and the seldom observed margins count for less:
with V the values of its rows and W the metric, V W V' = 1. White noise of a spectrum stays white
in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trainlib.rest.axis import RestAxis


@dataclass(frozen=True, eq=False)
class RestStatistics:
    """Figures of a training set in the rest frame, float32; curves are spline coefficients.

    axis: observed and rest start, pitch, nm, float64. redshifts: the range that is searched,
    float64. mean, metric: (points,). vectors: (rank, points). eigenvalues: (rank,). noise_shape:
    (pixels,), sigma over its median, the mean over spectra. stars: (2, 4), mean and spread of teff,
    logg, feh, alpha.
    """

    axis: np.ndarray
    redshifts: np.ndarray
    mean: np.ndarray
    metric: np.ndarray
    vectors: np.ndarray
    eigenvalues: np.ndarray
    noise_shape: np.ndarray
    stars: np.ndarray

    @property
    def rest_axis(self) -> RestAxis:
        """Return the axis that the curves lie on."""
        observed, rest, pitch = self.axis.tolist()
        return RestAxis(observed, rest, pitch, len(self.noise_shape), len(self.mean))

    @property
    def nearest(self) -> float:
        """Return the redshift nearest to rest among those searched; the axis may not reach rest."""
        low, high = self.redshifts.tolist()
        return float(min(max(low, 0.0), high))


def statistics_in(arrays: Mapping[str, Any]) -> RestStatistics:
    """Return the statistics among a network's arrays, by name; KeyError where one is missing."""
    return RestStatistics(*(np.asarray(arrays[field.name]) for field in fields(RestStatistics)))


def empty_rest_statistics(axis: RestAxis, rank: int) -> RestStatistics:
    """Return statistics of the right shapes, to be filled."""
    return RestStatistics(
        axis=np.zeros(3),
        redshifts=np.zeros(2),
        mean=np.zeros(axis.points, np.float32),
        metric=np.ones(axis.points, np.float32),
        vectors=np.zeros((rank, axis.points), np.float32),
        eigenvalues=np.ones(rank, np.float32),
        noise_shape=np.ones(axis.pixels, np.float32),
        stars=np.ones((2, 4), np.float32),
    )
