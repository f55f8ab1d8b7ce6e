"""Noisy spectra denoised in the frame in which their stars rest, on the processor, without torch.

A spectrum's redshift is scanned for, its most probable coefficients there are solved for with its
own weights, a network corrects these, and the curve is looked at from the observed frame. A pixel
of infinite variance is masked: it has no weight anywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from trainlib.rest.frame import RestFrame
from trainlib.rest.network import Corrected, gain_of
from trainlib.rest.refine import refined
from trainlib.rest.scan import Redshifts, Scan

_ROWS = 512  # at a time
# Numbers at the end of what float32 holds are in some spectra, and come out as such.
_QUIET = np.errstate(over="ignore", divide="ignore", invalid="ignore")

# (rows, rank) solution, (rows,) level and redshift, all float32, and what is made of them
Correct = Callable[[np.ndarray, np.ndarray, np.ndarray], Corrected]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of noisy spectra; (rows, pixels) or (rows,) unless said.

    error: sigma of `flux`: the shape of the linear Gaussian posterior's, of which a pixel's prior
    and the level of the noise are all it knows, at the size that the network has learnt its errors
    to have. Inside a gap it grows as the posterior's does without its pixels. redshift,
    redshift_error, second_redshift and log_odds: see `scan.Redshifts`. stars: (rows, 4) teff, logg,
    feh, alpha. distance: of the coefficients from the mean of the training spectra, in units of
    their spread, root mean square.
    """

    flux: np.ndarray
    error: np.ndarray
    redshift: np.ndarray
    redshift_error: np.ndarray
    second_redshift: np.ndarray
    log_odds: np.ndarray
    stars: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True, eq=False)
class RestDenoiser:
    """A denoiser of normalised flux on its own pixels.

    components: that the scan for redshifts knows. correct: the network.
    """

    frame: RestFrame
    components: int
    correct: Correct

    @cached_property
    def scan(self) -> Scan:
        """Return what finds redshifts; made when it is first needed."""
        return Scan(self.frame.statistics, self.components)

    @property
    def redshifts(self) -> tuple[float, float]:
        """Return the range of redshifts that it knows."""
        low, high = self.frame.statistics.redshifts.tolist()
        return low, high

    @cached_property
    def typical(self) -> np.ndarray:
        """Return (pixels,) the mean star as near to rest as redshifts are, float64."""
        told = self.frame.statistics
        seen = self.frame.axis.gather(told.mean[np.newaxis], np.array([told.nearest]))
        return np.asarray(seen[0], dtype=float)

    @_QUIET
    def flux(self, flux_noisy: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the denoised flux (rows, pixels) alone; see `denoise`."""
        parts = [self._flux(*self._known(*part)) for part in parts_of(flux_noisy, variance)]
        return np.concatenate(parts)

    @_QUIET
    def denoise(self, flux_noisy: np.ndarray, variance: np.ndarray) -> Known:
        """Return all that is known of spectra (rows, pixels).

        A variance that is not finite, or not positive, masks a pixel.
        """
        parts = [self._denoised(*part) for part in parts_of(flux_noisy, variance)]
        if len(parts) == 1:
            return parts[0]
        names = (field.name for field in fields(Known))
        return Known(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _known(
        self, flux: np.ndarray, variance: np.ndarray
    ) -> tuple[Redshifts, np.ndarray, Corrected]:
        """Return redshifts, levels of the noise, and the corrected solutions there."""
        found = refined(self.frame, flux, variance, self.scan(flux, variance))
        solution, level = self.frame.solved(flux, variance, found.redshift)
        return found, level, self.correct(solution, level, found.redshift.astype(np.float32))

    def _flux(self, found: Redshifts, _: np.ndarray, made: Corrected) -> np.ndarray:
        return self.frame.spectra(made.coefficients, found.redshift)

    def _denoised(self, flux: np.ndarray, variance: np.ndarray) -> Known:
        found, level, made = self._known(flux, variance)
        frame, told = self.frame, self.frame.statistics
        left = np.square(level)[:, np.newaxis] * gain_of(told.eigenvalues, level)
        size = made.relative / np.sqrt(left @ frame.relative_squares)
        grown = frame.gaps(~np.isfinite(variance), level, found.redshift)
        return Known(
            flux=self._flux(found, level, made),
            error=frame.spread(left * np.square(size)[:, np.newaxis], found.redshift, grown),
            redshift=found.redshift,
            redshift_error=found.error,
            second_redshift=found.second,
            log_odds=found.log_odds,
            stars=told.stars[0] + told.stars[1] * made.stars,
            distance=np.sqrt(np.mean(np.square(made.coefficients) / told.eigenvalues, axis=1)),
        )


def parts_of(flux: np.ndarray, variance: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield some rows at a time as float32, masked pixels 0 with infinite variance."""
    for first in range(0, max(len(flux), 1), _ROWS):
        some = slice(first, first + _ROWS)
        one, other = (part[some].astype(np.float32) for part in (flux, variance))
        is_seen = (other > 0.0) & (other < np.inf) & np.isfinite(one)
        yield np.where(is_seen, one, np.float32(0.0)), np.where(is_seen, other, np.float32(np.inf))
