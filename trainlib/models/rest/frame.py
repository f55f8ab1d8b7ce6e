"""From a noisy spectrum at a known redshift to coefficients in the rest frame, and back.

The gradient of the likelihood, u = P R' w (x - R m), needs no resampling: R gathers, R' scatters.
With the mean weights u would be the coefficients and white noise. With the spectrum's own, it is
the right side of

    (1 / eigenvalues + P diag(R' w) P' / level²) c = u / level²

whose solution, the most probable linear combination, takes a few steps of conjugate gradients.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainlib.models.rest.axis import RestAxis, spline_coefficients, spline_samples
from trainlib.models.rest.statistics import RestStatistics

_MOST_WEIGHT = 4.0  # of a pixel, in units of the median's
_EVERY = 8  # pixels of which a median is taken
_BLIND = 1.0  # sigma of a spectrum without a single pixel: that of its flux, and more
_SMALLEST_SHARE = 1e-6  # of the pixels that have weight
_NEVER = 1e-30


@dataclass(frozen=True)
class RestFrame:
    """Statistics on the processor, and what is done with them there.

    steps: of conjugate gradients.
    """

    statistics: RestStatistics
    steps: int

    @cached_property
    def axis(self) -> RestAxis:
        """Return the axis of the rest frame."""
        return self.statistics.rest_axis

    @cached_property
    def _weighted_vectors(self) -> Tensor:
        return self.statistics.vectors * self.statistics.metric

    @cached_property
    def _squared_vectors(self) -> Tensor:
        samples = spline_samples(self.statistics.vectors.numpy())
        return torch.from_numpy(spline_coefficients(np.square(samples)))

    def coefficients(self, curves: Tensor) -> Tensor:
        """Return (rows, rank) coefficients of true curves (rows, points) in the basis."""
        return (curves - self.statistics.mean) @ self._weighted_vectors.T

    def solved(self, flux: Tensor, variance: Tensor, redshift: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return (rows, rank) most probable coefficients, and the noise level (rows,) in them.

        flux: finite. variance: infinite where a pixel is masked. Both (rows, pixels).
        """
        told, axis = self.statistics, self.axis
        weight, level = weights_of(variance)
        mean = axis.gather(told.mean[None].numpy(), redshift)
        residual = weight * (flux - torch.from_numpy(mean))
        gradient = torch.from_numpy(axis.scatter(residual.numpy(), redshift)) @ told.vectors.T
        at_rest = torch.from_numpy(axis.scatter(weight.numpy(), redshift))
        information = (1.0 / level.square())[:, None]
        precision = 1.0 / told.eigenvalues
        return self._conjugate_gradients(gradient, at_rest, information, precision), level

    def _conjugate_gradients(
        self, gradient: Tensor, at_rest: Tensor, information: Tensor, precision: Tensor
    ) -> Tensor:
        """Solve for all rows at once, preconditioned by what mean weights would give."""
        vectors = self.statistics.vectors

        def normal(c: Tensor) -> Tensor:
            curves = c @ vectors
            return curves.mul_(at_rest) @ vectors.T * information + c * precision

        inverse = 1.0 / (precision + information)
        right = gradient * information
        solution = inverse * right
        residual = right - normal(solution)
        better = inverse * residual
        direction = better
        power = (residual * better).sum(dim=1, keepdim=True)
        for step in range(self.steps):
            image = normal(direction)
            length = power / (direction * image).sum(dim=1, keepdim=True).clamp(min=_NEVER)
            solution = solution + length * direction
            if step + 1 == self.steps:
                break
            residual = residual - length * image
            better = inverse * residual
            power, before = (residual * better).sum(dim=1, keepdim=True), power
            direction = better + power / before.clamp(min=_NEVER) * direction
        return solution

    def spectra(self, coefficients: Tensor, redshift: np.ndarray) -> Tensor:
        """Return the spectra (rows, pixels) of coefficients as seen at redshifts."""
        curves = self.statistics.mean + coefficients @ self.statistics.vectors
        return torch.from_numpy(self.axis.gather(curves.numpy(), redshift))

    def spread(self, variances: Tensor, redshift: np.ndarray) -> Tensor:
        """Return (rows, pixels) sigma of spectra whose coefficients are independent.

        variances: (rows, rank), of the coefficients.
        """
        at_rest = variances @ self._squared_vectors
        seen = torch.from_numpy(self.axis.gather(at_rest.numpy(), redshift))
        return seen.clamp(min=0.0).sqrt()

    @cached_property
    def relative_squares(self) -> Tensor:
        """Return (rank,) mean squares over the mean flux of a unit of each coefficient."""
        return self.relative.square().sum(dim=1)

    @cached_property
    def relative(self) -> Tensor:
        """Return (rank, rank) L: |c L|² is the mean square of a small change c over the mean flux.

        The mean is over the arm of a star at rest.
        """
        arm = self.axis.arm
        mean = self.statistics.mean[arm].double()
        over_mean = self.statistics.vectors[:, arm].double() / mean
        gram = over_mean @ over_mean.T / over_mean.shape[1]
        tiny = 1e-12 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        triangle: Tensor = torch.linalg.cholesky(gram + tiny)
        return triangle.float()


def weights_of(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of pixels, of mean 1, and the level of the noise in what they sum.

    The weight is the inverse variance, never much above the median's; zero where it is infinite.
    """
    median = variance[:, ::_EVERY].where(variance[:, ::_EVERY] < torch.inf, torch.nan)
    median = median.nanmedian(dim=1, keepdim=True).values.nan_to_num(nan=_BLIND**2)
    weight = (median / variance).clamp(max=_MOST_WEIGHT)
    share = weight.mean(dim=1, keepdim=True).clamp(min=_SMALLEST_SHARE)
    return weight / share, (median / share).sqrt()[:, 0]
