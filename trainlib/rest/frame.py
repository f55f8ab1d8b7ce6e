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
from threading import Lock

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dposv

from simlib.cores import on_cores
from trainlib.rest.axis import COARSE, RestAxis, spline_coefficients, spline_samples
from trainlib.rest.noise import median_of_seen
from trainlib.rest.statistics import RestStatistics

_MOST_WEIGHT = np.float32(4.0)  # of a pixel, in units of the median's
_BLIND = 1.0  # sigma of a spectrum without a single pixel: that of its flux, and more
_SMALLEST_SHARE = 1e-6  # of the pixels that have weight
_NEVER = np.float32(1e-30)
_CLASSES = 16  # of redshift, each with its mean weights at rest

_SOLVING = Lock()  # one class at a time, of all frames: it is needed a few times in a process


@dataclass(frozen=True, eq=False)
class RestFrame:
    """Statistics, and what is done with them; all float32 but redshifts.

    steps: of conjugate gradients.
    """

    statistics: RestStatistics
    steps: int

    @cached_property
    def axis(self) -> RestAxis:
        """Return the axis of the rest frame."""
        return self.statistics.rest_axis

    @cached_property
    def values(self) -> np.ndarray:
        """Return (rank, points) values of the basis at the points of the axis."""
        return spline_samples(self.statistics.vectors)

    @cached_property
    def _coarse(self) -> np.ndarray:
        return np.ascontiguousarray(self.values[:, ::COARSE])

    @cached_property
    def _squared_vectors(self) -> np.ndarray:
        return spline_coefficients(np.square(self.values))

    def _solver(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return, for the mean weights at the middle of a class of redshifts, (s, T).

        With them T diag(1 / (1 + s / level²)) T' is the inverse of the matrix above.
        """
        told = self.statistics
        weight, _ = weights_of(np.square(told.noise_shape)[np.newaxis])
        low, high = told.redshifts
        middle = low + (high - low) * (np.array([number]) + 0.5) / _CLASSES
        root = np.sqrt(told.eigenvalues)[:, np.newaxis]
        scaled = root * self._coarse
        gram = (scaled * self.axis.weigh(weight, middle)) @ scaled.T
        squares, turn = np.linalg.eigh(gram.astype(float))
        return np.maximum(squares, 0.0).astype(np.float32), root * turn.astype(np.float32)

    @cached_property
    def _known_solvers(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return what was solved so far, by class."""
        return {}

    def coefficients(self, curves: np.ndarray) -> np.ndarray:
        """Return (rows, rank) coefficients of true curves (rows, points) in the basis."""
        off = spline_samples(curves - self.statistics.mean)
        return np.asarray(off @ (self.values * self.statistics.metric).T)

    def solved(
        self, flux: np.ndarray, variance: np.ndarray, redshift: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, rank) most probable coefficients, and the noise level (rows,) in them.

        flux: finite. variance: infinite where a pixel is masked. Both (rows, pixels).
        """
        told, axis = self.statistics, self.axis
        weight, level = weights_of(variance)
        residual = flux - axis.gather(told.mean[np.newaxis], redshift)
        residual *= weight
        gradient = axis.scatter(residual, redshift) @ told.vectors.T
        return self.solution(gradient, weight, level, redshift), level

    def solution(
        self,
        gradient: np.ndarray,
        weight: np.ndarray,
        level: np.ndarray,
        redshift: np.ndarray,
        steps: int | None = None,
    ) -> np.ndarray:
        """Return c (rows, rank) of the equation above. gradient: u, (rows, rank).

        weight, level: see `weights_of`. steps: of conjugate gradients; None for the frame's own.
        """
        steps = self.steps if steps is None else steps
        at_rest = self.axis.weigh(weight, redshift)
        information = (1.0 / np.square(level))[:, np.newaxis]
        return self._conjugate_gradients(gradient, at_rest, information, redshift, steps)

    def _conjugate_gradients(
        self,
        gradient: np.ndarray,
        at_rest: np.ndarray,
        information: np.ndarray,
        redshift: np.ndarray,
        steps: int,
    ) -> np.ndarray:
        """Solve for all rows at once, preconditioned by the inverse for mean weights."""
        precision, coarse = 1.0 / self.statistics.eigenvalues, self._coarse
        of_class = self._classes(redshift)

        def normal(c: np.ndarray) -> np.ndarray:
            curves = c @ coarse
            curves *= at_rest
            return np.asarray(curves @ coarse.T * information + c * precision)

        def inverse(c: np.ndarray) -> np.ndarray:
            out = np.empty_like(c)
            for rows, squares, turn in of_class:
                out[rows] = (c[rows] @ turn / (1.0 + squares * information[rows])) @ turn.T
            return out

        right = gradient * information
        solution = inverse(right)
        if not steps:
            return solution
        residual = right - normal(solution)
        better = inverse(residual)
        direction = better
        power = (residual * better).sum(axis=1, keepdims=True)
        for step in range(steps):
            image = normal(direction)
            length = power / np.maximum((direction * image).sum(axis=1, keepdims=True), _NEVER)
            solution = solution + length * direction
            if step + 1 == steps:
                break
            residual = residual - length * image
            better = inverse(residual)
            power, before = (residual * better).sum(axis=1, keepdims=True), power
            direction = better + power / np.maximum(before, _NEVER) * direction
        return solution

    def _classes(self, redshift: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the rows of every class of redshifts that there is, and its solver."""
        low, high = self.statistics.redshifts
        share = (redshift - low) / max(high - low, 1e-12)
        number = np.clip(np.floor(_CLASSES * share), 0, _CLASSES - 1).astype(int)
        solvers, there = self._known_solvers, np.unique(number).tolist()
        with _SOLVING:
            missing = [one for one in there if one not in solvers]
            solvers |= zip(missing, on_cores(self._solver, missing), strict=True)
        return [(np.flatnonzero(number == one), *solvers[one]) for one in there]

    def spectra(self, coefficients: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return the spectra (rows, pixels) of coefficients as seen at redshifts."""
        curves = coefficients @ self.statistics.vectors
        curves += self.statistics.mean
        return self.axis.gather(curves, redshift)

    def spread(
        self, variances: np.ndarray, redshift: np.ndarray, grown: np.ndarray | None = None
    ) -> np.ndarray:
        """Return (rows, pixels) sigma of spectra whose coefficients are independent.

        variances: (rows, rank), of the coefficients. grown: see `gaps`.
        """
        at_rest = variances @ self._squared_vectors
        if grown is not None:
            at_rest *= grown
        seen = self.axis.gather(at_rest, redshift)
        return np.asarray(np.sqrt(np.maximum(seen, 0.0, out=seen), out=seen))

    def gaps(self, is_masked: np.ndarray, level: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return (rows, points) how much larger variances are where pixels are masked, 1 elsewhere.

        Those of the linear solution: with the mean weights but for the masked pixels, against
        weights that are as much less everywhere.
        """
        whole = self._whole
        total = whole.sum()
        share = self.axis.weigh(is_masked.astype(np.float32), redshift) / COARSE
        grown = np.ones_like(share)
        for row in np.flatnonzero(is_masked.any(axis=1)):
            hit = np.flatnonzero(share[row])
            weight = whole[hit] * np.minimum(share[row, hit], 1.0)
            squared = np.square(level[row])
            alone = max(squared * (1.0 - weight.sum() / total), _NEVER)  # without the mask
            try:
                grown[row, hit] = np.maximum(self._growth(hit, weight, alone, squared), 1.0)
            except np.linalg.LinAlgError:  # of rounding alone, where hardly a pixel is left
                continue
        return np.repeat(grown, COARSE, axis=1)[:, : self.axis.points]

    def _growth(
        self, hit: np.ndarray, weight: np.ndarray, alone: float, squared: float
    ) -> np.ndarray:
        """Return how much larger variances are at some points that have lost weights (points,).

        squared: level of the noise; alone: as if only so much weight were left, in all places. A
        lost weight takes a square from the gain's inverse, so what is solved is as large as there
        are points, or coefficients where these are fewer. Raises LinAlgError where rounding leaves
        nothing.
        """
        squares, turned = self._turned
        there = turned[hit]
        before = np.square(there) @ (1.0 / (1.0 + squares / squared))
        gain = 1.0 / (1.0 + squares / alone)
        if len(hit) < len(gain):
            shared = ((there * gain) @ there.T).astype(float)
            # of LAPACK itself: looking whether all is as it takes it would take half of the time
            _, solved, failed = dposv(np.diag(alone / weight) - shared, shared)
            if failed:
                raise np.linalg.LinAlgError("rounding leaves nothing")
            return np.asarray((shared.diagonal() + (shared * solved).sum(axis=0)) / before)
        lost = (there * (weight / alone)[:, np.newaxis]).T @ there
        triangle = np.linalg.cholesky(np.diag(1.0 / gain) - lost.astype(float))
        after = solve_triangular(triangle, there.T, lower=True)
        return np.asarray(np.square(after).sum(axis=0) / before)

    @cached_property
    def _whole(self) -> np.ndarray:
        """Return the mean weights of every other point, (points / 2,)."""
        return np.asarray(COARSE * self.statistics.metric[::COARSE])

    @cached_property
    def _turned(self) -> tuple[np.ndarray, np.ndarray]:
        """Return s and the basis T (points / 2, rank), of the size of its prior, in which

        diag(1 / (1 + s / level²)) is the posterior covariance for the mean weights.
        """
        scaled = np.sqrt(self.statistics.eigenvalues)[:, np.newaxis] * self._coarse
        squares, turn = np.linalg.eigh(((scaled * self._whole) @ scaled.T).astype(float))
        return np.maximum(squares, 0.0).astype(np.float32), scaled.T @ turn.astype(np.float32)

    @cached_property
    def relative_squares(self) -> np.ndarray:
        """Return (rank,) mean squares over the mean flux of a unit of each coefficient."""
        return np.asarray(np.square(self.relative).sum(axis=1))

    @property
    def over_mean(self) -> np.ndarray:
        """Return (rank, points) what a unit of each coefficient makes of the mean flux, float64.

        Over the arm of a star at rest, or as near to it as redshifts are.
        """
        arm = self.axis.arm(self.statistics.nearest)
        mean = spline_samples(self.statistics.mean[np.newaxis])[0, arm].astype(float)
        return np.asarray(self.values[:, arm] / mean)

    @cached_property
    def relative(self) -> np.ndarray:
        """Return (rank, rank) L: |c L|² is the mean square of a small change c over the mean flux.

        The mean is over the arm of `over_mean`.
        """
        over_mean = self.over_mean
        gram = over_mean @ over_mean.T / over_mean.shape[1]
        tiny = 1e-12 * gram.diagonal().mean() * np.eye(len(gram))
        return np.asarray(np.linalg.cholesky(gram + tiny).astype(np.float32))


def weights_of(variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of pixels, of mean 1, and the level of the noise in what they sum.

    The weight is the inverse variance, never much above the median's; zero where it is infinite.
    """
    median = median_of_seen(variance, _BLIND**2)
    weight = median / variance
    np.minimum(weight, _MOST_WEIGHT, out=weight)
    share = np.maximum(weight.mean(axis=1, keepdims=True), np.float32(_SMALLEST_SHARE))
    weight /= share
    return weight, np.sqrt(median / share)[:, 0]
