"""The information limit: how well a spectrum can be known at all, given its noise.

A noisy spectrum is one of a family, y = a F(p) (1 + c) + b with p the star (four parameters,
redshift, reddening), c the calibration's error, a and b scale and offset. What the noise leaves
unknown of these, with what is known of them beforehand, is the Cramér-Rao bound with priors:

    C = (J' W J + 1 / P)^-1,     error of y in a pixel: sqrt(diag(J C J'))

with J the derivatives of y, W the inverse variances, and P the variances of the distributions that
the parameters are drawn from. The floor is the mean over pixels of the absolute relative error that
normal errors of this size have. No method does better on average, but one that learnt more of the
distribution than its variances.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.dataset.rows import Recipe
from simlib.fit.generator import STARS, generator_of
from simlib.fit.problem import Problem, problem_of, stars_of
from simlib.parameters import AXES
from trainlib.config import Augment
from trainlib.training.calibration import calibration_of

_ROWS = 256  # at a time
_MEAN_ABS = np.sqrt(2.0 / np.pi)  # of a normal of unit variance


@dataclass(frozen=True)
class Floor:
    """Mean absolute relative error that is left, a fraction, (rows,).

    thread: with only the interpolated stellar parameter unknown, the others known as nodes.
    """

    whole: np.ndarray
    thread: np.ndarray


def information_floor(
    spectra: xr.Dataset, recipe: Recipe, augment: Augment, flux_floor: float
) -> tuple[Floor, Floor]:
    """Return the floor of rows of a dataset, with augmentation on and off.

    spectra: parameters, `flux` and `variance`, dims `spectrum`, `wavelength`; an infinite variance
    masks a pixel. augment: what is unknown of the calibration where it is on (off, nothing is), and
    whether the spectrum with its errors is wanted or the one without. flux_floor: of the median
    flux, below which errors are divided by it. Raises InputError for what cannot be simulated.
    """
    problem = fit_problem(recipe, augment)
    prior = problem.sigma[:, np.newaxis]
    found = np.empty((spectra.sizes["spectrum"], 4))
    for start in range(0, len(found), _ROWS):
        some = spectra.isel(spectrum=slice(start, start + _ROWS)).load()
        _, slopes = problem.generator.look(stars_of(some), is_sloped=True)
        flux, variance = (some[name].values.astype(float) for name in ("flux", "variance"))
        divisor = np.maximum(flux, flux_floor * np.median(flux, axis=1, keepdims=True))
        axis = some["interpolated_axis"].values
        for row in range(len(flux)):
            directions = np.concatenate(
                [slopes[row] * prior, problem.calibration.directions(flux[row])]
            )
            information = (directions / variance[row]) @ directions.T
            if augment.target == "original":  # the calibration hides it, and is no part of it
                directions[len(prior) :] = 0.0
            found[start + row] = [
                _mean_error(directions, information, is_free, divisor[row])
                for is_free in _cases(len(directions), axis[row])
            ]
    return Floor(found[:, 0], found[:, 1]), Floor(found[:, 2], found[:, 3])


def _cases(unknowns: int, axis: int) -> list[np.ndarray]:
    """Return what is unknown: all, or along a thread; the same with the calibration known.

    axis: along which a row was drawn, below 0 for none.
    """
    number = np.arange(unknowns)
    is_along = (number >= len(AXES)) | (axis < 0) | (number == axis)
    is_star = number < len(STARS)
    return [is_star | ~is_star, is_along, is_star, is_along & is_star]


def _mean_error(
    directions: np.ndarray, information: np.ndarray, is_free: np.ndarray, divisor: np.ndarray
) -> float:
    """Return the mean over pixels of the absolute relative error that is left.

    directions: (unknowns, pixels), what is wanted, changed by one standard deviation of each.
    information: (unknowns, unknowns), of the noisy spectrum about them. is_free: which are unknown.
    """
    free = directions[is_free]
    known = np.eye(len(free)) + information[np.ix_(is_free, is_free)]
    variance = np.einsum("kp,kp->p", free, np.linalg.inv(known) @ free)
    return float(_MEAN_ABS * np.mean(np.sqrt(variance) / divisor))


def fit_problem(recipe: Recipe, augment: Augment) -> Problem:
    """Return what spectra of a dataset may be, where the augmentation is on.

    Raises InputError for what cannot be simulated.
    """
    generator = generator_of(recipe.grid, recipe.named_terms, recipe.config)
    return problem_of(generator, recipe.config.stellar, calibration_of(augment, generator.pixels))
