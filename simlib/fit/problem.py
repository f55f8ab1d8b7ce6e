"""What a noisy spectrum may be: a star, seen through an uncertain calibration, with priors.

    y = F(star) (1 + sum over k of s_k m_k) + b,      objective: chi² + sum of squared unknowns

Every unknown is in units of the standard deviation that is known of it beforehand, from where it is
expected: the objective is minus twice the logarithm of the posterior but for a constant, and what
is linear in it (modes, offset) is treated like the rest.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.config import Stellar
from simlib.fit.generator import STARS, Generator
from simlib.fit.kernels import direction_rows, residual_rows

_NO_FLUX = 1e6  # times the unit of the flux: squares must stay numbers


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is unknown beside the star, for one standard deviation each.

    modes: (modes, pixels) float32, that multiply the flux. offset: of the normalised flux.
    """

    modes: np.ndarray
    offset: float

    def directions(self, flux: np.ndarray) -> np.ndarray:
        """Return the change of a spectrum (pixels,) with each, (modes + 1, pixels)."""
        return np.concatenate([self.modes * flux, np.full((1, len(flux)), self.offset)])


@dataclass(frozen=True, eq=False)
class Problem:
    """A generator with what is known beforehand of all unknowns.

    expected, sigma: (6,) of the star's parameters, in the order of STARS.
    """

    generator: Generator
    calibration: Calibration
    expected: np.ndarray
    sigma: np.ndarray

    @property
    def unknowns(self) -> int:
        """Return how many unknowns there are: the star's, then the modes, then the offset."""
        return len(STARS) + len(self.calibration.modes) + 1

    @property
    def walls(self) -> np.ndarray:
        """Return the lowest and highest of the star's unknowns, (6, 2)."""
        ends = self.generator.limits - self.expected[:, np.newaxis]
        return np.asarray(ends / self._scale[:, np.newaxis])

    @property
    def _scale(self) -> np.ndarray:
        return np.where(self.sigma > 0.0, self.sigma, 1.0)

    def stars(self, unknowns: np.ndarray) -> np.ndarray:
        """Return the star's parameters (rows, 6) that unknowns (rows, n) say."""
        low, high = self.generator.limits.T
        found = self.expected + self.sigma * unknowns[:, : len(STARS)]
        return np.asarray(np.clip(found, low, high))

    def unknowns_of(self, stars: np.ndarray) -> np.ndarray:
        """Return unknowns (rows, n) of stars (rows, 6), the calibration as expected.

        What lies beyond the generator's limits is brought to them, what is not finite to where it
        is expected.
        """
        low, high = self.generator.limits.T
        inside = np.clip(np.where(np.isfinite(stars), stars, self.expected), low, high)
        unknowns = np.zeros((len(stars), self.unknowns))
        unknowns[:, : len(STARS)] = np.where(
            self.sigma > 0.0, (inside - self.expected) / self._scale, 0.0
        )
        return unknowns


def problem_of(generator: Generator, stellar: Stellar, calibration: Calibration) -> Problem:
    """Return the problem of stars that are drawn as a config says: from its ranges, evenly.

    What its ranges leave no room for is known.
    """
    ranges = np.array([getattr(stellar, name) for name in STARS], dtype=float)
    sigma = (ranges[:, 1] - ranges[:, 0]) / np.sqrt(12.0)
    return Problem(generator, calibration, ranges.mean(axis=1), sigma)


def stars_of(parameters: xr.Dataset) -> np.ndarray:
    """Return (rows, 6) parameters of a table of stars, in the order of STARS."""
    return np.stack([parameters[name].values.astype(float) for name in STARS], axis=1)


@dataclass(frozen=True, eq=False)
class Seen:
    """Noisy spectra (rows, pixels) float32: values, and one over sigma, 0 where masked."""

    noisy: np.ndarray
    inverse_sigma: np.ndarray

    def rows(self, which: np.ndarray) -> "Seen":
        """Return some of them."""
        return Seen(self.noisy[which], self.inverse_sigma[which])


def seen(flux: np.ndarray, variance: np.ndarray) -> Seen:
    """Return what is seen of spectra (rows, pixels).

    A pixel is masked where its flux is not finite or no normalised flux at all, or its variance not
    finite or not positive.
    """
    with np.errstate(invalid="ignore"):
        is_seen = (np.abs(flux) < _NO_FLUX) & (variance > 0.0) & np.isfinite(variance)
    sigma = np.maximum(np.sqrt(np.where(is_seen, variance, 1.0)), 1.0 / _NO_FLUX)
    return Seen(
        np.where(is_seen, flux, 0.0).astype(np.float32),
        np.where(is_seen, 1.0 / sigma, 0.0).astype(np.float32),
    )


@dataclass(frozen=True, eq=False)
class Looked:
    """Spectra at given unknowns, and how they differ from what is seen; rows first.

    flux: of the star alone. smooth: that it is multiplied by. misfit: chi². objective: with the
    priors.
    """

    spectra: np.ndarray
    flux: np.ndarray
    smooth: np.ndarray
    residual: np.ndarray
    misfit: np.ndarray
    objective: np.ndarray


def look(
    problem: Problem, data: Seen, unknowns: np.ndarray, is_sloped: bool
) -> tuple[Looked, np.ndarray]:
    """Return what unknowns (rows, n) give, and the star's slopes (rows, 6 or 0, pixels)."""
    stars = problem.stars(unknowns)
    flux, slopes = problem.generator.look(stars, is_sloped)
    rest = unknowns[:, len(STARS) :].astype(np.float32)
    smooth = rest[:, :-1] @ problem.calibration.modes
    offset = np.float32(problem.calibration.offset) * rest[:, -1]
    spectra, residual = np.empty_like(flux), np.empty_like(flux)
    residual_rows(flux, smooth, offset, data.noisy, data.inverse_sigma, spectra, residual)
    misfit = np.einsum("np,np->n", residual, residual, dtype=float)
    prior = np.square(unknowns).sum(axis=1)
    return Looked(spectra, flux, smooth, residual, misfit, misfit + prior), slopes


def put_directions(
    problem: Problem,
    data: Seen,
    looked: Looked,
    slopes: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> None:
    """Put weighted changes with each unknown into rows `places` of `out` (…, unknowns, pixels)."""
    calibration = problem.calibration
    direction_rows(
        looked.flux, slopes, looked.smooth, problem.sigma.astype(np.float32), calibration.modes,
        np.float32(calibration.offset), data.inverse_sigma, places, out,
    )  # fmt: skip
