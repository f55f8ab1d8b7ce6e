"""A denoised spectrum made a star's: the fit that begins with what a network says of it.

It is taken only where it is more probable than the star that the network names, with the dust and
the calibration that suit that one best. The network's own spectrum is of a wider family, in which
chi² alone says little: some of the noise is fitted too. But where it explains far more than any
star does, what is seen is not in the grid, and the network's spectrum stays.
"""

from dataclasses import dataclass

import numpy as np

from simlib.fit.problem import Problem, seen
from simlib.fit.solve import Fitted, fit_spectra

# Of chi², that a fit may miss of what a network explains: bright spectra's networks follow some of
# the noise, which no star does.
_UNEXPLAINED = 64.0


@dataclass(frozen=True, eq=False)
class Polished:
    """Spectra (rows, pixels) float32: the fit's where it is accepted, elsewhere as they were.

    stars: (rows, 6) and covariance (rows, 6, 6): of the fit, whether it is accepted or not; in the
    order of `generator.STARS`. is_accepted: (rows,). fit: all that was found.
    """

    spectra: np.ndarray
    stars: np.ndarray
    covariance: np.ndarray
    is_accepted: np.ndarray
    fit: Fitted


def polish(
    problem: Problem,
    flux: np.ndarray,
    variance: np.ndarray,
    denoised: np.ndarray,
    stars: np.ndarray,
    *,
    errors: bool = False,
) -> Polished:
    """Return denoised spectra, polished where that makes them more probable.

    flux, variance: as `fit_spectra` takes them. denoised: (rows, pixels). stars: (rows, 6) that
    the network names; what it does not know is NaN. errors: of the fit's spectra are wanted too.
    Raises ValueError for shapes that do not fit.
    """
    fit = fit_spectra(problem, flux, variance, stars, errors=errors)
    data = seen(flux, variance)
    with np.errstate(invalid="ignore", over="ignore"):
        residual = (data.noisy - denoised) * data.inverse_sigma
        explained = np.square(residual, dtype=float).sum(axis=1)
        is_explained = fit.misfit < explained + _UNEXPLAINED
    is_accepted = fit.is_sound & (fit.objective < fit.start_objective) & is_explained
    spectra = np.where(is_accepted[:, np.newaxis], fit.spectra, denoised)
    return Polished(spectra, fit.stars, fit.covariance, is_accepted, fit)
