"""From a noisy spectrum at a known redshift to coefficients in the rest frame, and back.

The gradient of the likelihood, u = P R' w (x - R m), needs no resampling: R gathers, R' scatters.
With the mean weights u would be the coefficients and white noise. With the spectrum's own, it is
the right side of

    (1 / eigenvalues + P R' diag(w) R P' / level²) c = u / level²

whose solution, the most probable linear combination, takes a few steps of conjugate gradients. The
product in the middle is a sum over every other point of the axis: lines are wider than that. The
start is the solution with the mean weights at about the redshift, sky lines and all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainlib.models.rest.axis import COARSE, RestAxis, spline_coefficients, spline_samples
from trainlib.models.rest.noise import median_of_seen
from trainlib.models.rest.statistics import RestStatistics

_MOST_WEIGHT = 4.0  # of a pixel, in units of the median's
_BLIND = 1.0  # sigma of a spectrum without a single pixel: that of its flux, and more
_SMALLEST_SHARE = 1e-6  # of the pixels that have weight
_NEVER = 1e-30
_CLASSES = 16  # of redshift, each with its mean weights at rest


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
    def values(self) -> Tensor:
        """Return (rank, points) values of the basis at the points of the axis."""
        return torch.from_numpy(spline_samples(self.statistics.vectors.numpy()))

    @cached_property
    def _coarse(self) -> Tensor:
        return self.values[:, ::COARSE].contiguous()

    @cached_property
    def _squared_vectors(self) -> Tensor:
        return torch.from_numpy(spline_coefficients(np.square(self.values.numpy())))

    @cached_property
    def _solvers(self) -> tuple[Tensor, Tensor]:
        """Return, for the mean weights at the middle of every class of redshifts, (s, T).

        With them T diag(1 / (1 + s / level²)) T' is the inverse of the matrix above.
        """
        told = self.statistics
        weight, _ = weights_of(told.noise_shape.square()[None])
        low, high = told.redshifts.tolist()
        middles = low + (high - low) * (np.arange(_CLASSES) + 0.5) / _CLASSES
        at_rest = torch.from_numpy(self.axis.weigh(weight.numpy().repeat(_CLASSES, 0), middles))
        root = told.eigenvalues.sqrt()[:, None]
        scaled = root * self._coarse
        grams = torch.stack([(scaled * row) @ scaled.T for row in at_rest])
        squares, turns = torch.linalg.eigh(grams.double())
        return squares.clamp(min=0.0).float(), root * turns.float()

    def coefficients(self, curves: Tensor) -> Tensor:
        """Return (rows, rank) coefficients of true curves (rows, points) in the basis."""
        off = torch.from_numpy(spline_samples((curves - self.statistics.mean).numpy()))
        return off @ (self.values * self.statistics.metric).T

    def solved(self, flux: Tensor, variance: Tensor, redshift: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return (rows, rank) most probable coefficients, and the noise level (rows,) in them.

        flux: finite. variance: infinite where a pixel is masked. Both (rows, pixels).
        """
        told, axis = self.statistics, self.axis
        weight, level = weights_of(variance)
        mean = axis.gather(told.mean[None].numpy(), redshift)
        residual = weight * (flux - torch.from_numpy(mean))
        gradient = torch.from_numpy(axis.scatter(residual.numpy(), redshift)) @ told.vectors.T
        at_rest = torch.from_numpy(axis.weigh(weight.numpy(), redshift))
        information = (1.0 / level.square())[:, None]
        return self._conjugate_gradients(gradient, at_rest, information, redshift), level

    def _conjugate_gradients(
        self, gradient: Tensor, at_rest: Tensor, information: Tensor, redshift: np.ndarray
    ) -> Tensor:
        """Solve for all rows at once, preconditioned by the inverse for mean weights."""
        precision, coarse = 1.0 / self.statistics.eigenvalues, self._coarse
        of_class = self._classes(redshift)

        def normal(c: Tensor) -> Tensor:
            curves = c @ coarse
            return curves.mul_(at_rest) @ coarse.T * information + c * precision

        def inverse(c: Tensor) -> Tensor:
            out = torch.empty_like(c)
            for rows, squares, turn in of_class:
                out[rows] = (c[rows] @ turn / (1.0 + squares * information[rows])) @ turn.T
            return out

        right = gradient * information
        solution = inverse(right)
        if not self.steps:
            return solution
        residual = right - normal(solution)
        better = inverse(residual)
        direction = better
        power = (residual * better).sum(dim=1, keepdim=True)
        for step in range(self.steps):
            image = normal(direction)
            length = power / (direction * image).sum(dim=1, keepdim=True).clamp(min=_NEVER)
            solution = solution + length * direction
            if step + 1 == self.steps:
                break
            residual = residual - length * image
            better = inverse(residual)
            power, before = (residual * better).sum(dim=1, keepdim=True), power
            direction = better + power / before.clamp(min=_NEVER) * direction
        return solution

    def _classes(self, redshift: np.ndarray) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return the rows of every class of redshifts that there is, and its solver."""
        low, high = self.statistics.redshifts.tolist()
        share = (redshift - low) / max(high - low, 1e-12)
        number = np.clip(np.floor(_CLASSES * share), 0, _CLASSES - 1).astype(int)
        squares, turns = self._solvers
        return [
            (torch.from_numpy(np.flatnonzero(number == one)), squares[one], turns[one])
            for one in np.unique(number)
        ]

    def spectra(self, coefficients: Tensor, redshift: np.ndarray) -> Tensor:
        """Return the spectra (rows, pixels) of coefficients as seen at redshifts."""
        curves = self.statistics.mean + coefficients @ self.statistics.vectors
        return torch.from_numpy(self.axis.gather(curves.numpy(), redshift))

    def spread(
        self, variances: Tensor, redshift: np.ndarray, grown: Tensor | None = None
    ) -> Tensor:
        """Return (rows, pixels) sigma of spectra whose coefficients are independent.

        variances: (rows, rank), of the coefficients. grown: see `gaps`.
        """
        at_rest = variances @ self._squared_vectors
        if grown is not None:
            at_rest *= grown
        seen = torch.from_numpy(self.axis.gather(at_rest.numpy(), redshift))
        return seen.clamp(min=0.0).sqrt()

    def gaps(self, is_masked: Tensor, level: Tensor, redshift: np.ndarray) -> Tensor:
        """Return (rows, points) how much larger variances are where pixels are masked, 1 elsewhere.

        Those of the linear solution: with the mean weights but for the masked pixels, against
        weights that are as much less everywhere.
        """
        told, coarse, whole = self.statistics, self._coarse, self._whole
        share = torch.from_numpy(self.axis.weigh(is_masked.float().numpy(), redshift) / COARSE)
        grown = torch.ones_like(share)
        for row in is_masked.any(dim=1).nonzero()[:, 0].tolist():
            hit = share[row].nonzero()[:, 0]
            weight = whole[hit] * share[row, hit].clamp(max=1.0)
            alone = level[row].square() * (1.0 - weight.sum() / whole.sum())  # without the mask
            there = coarse[:, hit]
            known = self._gram - (there * weight) @ there.T
            inverse = (known / alone.clamp(min=_NEVER) + (1.0 / told.eigenvalues).diag()).double()
            triangle, failed = torch.linalg.cholesky_ex(inverse)
            if failed:  # of rounding alone, where hardly a pixel is left
                continue
            after = torch.linalg.solve_triangular(triangle, there.double(), upper=False)
            before = 1.0 / (1.0 / told.eigenvalues + 1.0 / level[row].square())
            ratio = after.square().sum(dim=0).float() / (before @ there.square())
            grown[row, hit] = ratio.clamp(min=1.0)
        return grown.repeat_interleave(COARSE, dim=1)[:, : self.axis.points]

    @cached_property
    def _whole(self) -> Tensor:
        """Return the mean weights of every other point, (points / 2,)."""
        return COARSE * self.statistics.metric[::COARSE]

    @cached_property
    def _gram(self) -> Tensor:
        return (self._coarse * self._whole) @ self._coarse.T

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
        mean = torch.from_numpy(spline_samples(self.statistics.mean[None].numpy()))[0, arm]
        over_mean = self.values[:, arm].double() / mean.double()
        gram = over_mean @ over_mean.T / over_mean.shape[1]
        tiny = 1e-12 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        triangle: Tensor = torch.linalg.cholesky(gram + tiny)
        return triangle.float()


def weights_of(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of pixels, of mean 1, and the level of the noise in what they sum.

    The weight is the inverse variance, never much above the median's; zero where it is infinite.
    """
    median = median_of_seen(variance, _BLIND**2)
    weight = (median / variance).clamp(max=_MOST_WEIGHT)
    share = weight.mean(dim=1, keepdim=True).clamp(min=_SMALLEST_SHARE)
    return weight / share, (median / share).sqrt()[:, 0]
