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
from functools import lru_cache

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig
from simlib.dataset.rows import Recipe
from simlib.parameters import AXES
from simlib.simulation.jacobian import STEPS, flux_jacobian
from trainlib.config import Augment, WalkAugment
from trainlib.training.calibration import calibration_error, calibration_modes

_ROWS = 256  # at a time
_CURVES = 16_384  # from which the covariance of the calibration's error is taken
_SEED = 1
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
    prior = prior_sigmas(recipe.config)[:, np.newaxis]
    nuisance = _nuisance(augment, spectra.sizes["wavelength"])
    found = np.empty((spectra.sizes["spectrum"], 4))
    for start in range(0, len(found), _ROWS):
        some = spectra.isel(spectrum=slice(start, start + _ROWS)).load()
        stars = some.drop_vars(["flux", "variance"])
        jacobian = flux_jacobian(stars, recipe.grid, recipe.named_terms, recipe.config)
        flux, variance = (some[name].values.astype(float) for name in ("flux", "variance"))
        divisor = np.maximum(flux, flux_floor * np.median(flux, axis=1, keepdims=True))
        axis = some["interpolated_axis"].values
        for row in range(len(flux)):
            directions = np.concatenate([jacobian[row] * prior, nuisance.directions(flux[row])])
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
    is_star = number < len(STEPS)
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


def prior_sigmas(config: SimulationConfig) -> np.ndarray:
    """Return the standard deviations with which the parameters of STEPS are drawn."""
    ranges = np.array([getattr(config.stellar, name) for name in STEPS])
    return np.asarray((ranges[:, 1] - ranges[:, 0]) / np.sqrt(12.0))


@dataclass(frozen=True)
class _Nuisance:
    """What is unknown beside the star: (modes, pixels) that multiply the flux, a scale, an offset.

    All for one standard deviation.
    """

    modes: np.ndarray
    scale: float
    offset: float

    def directions(self, flux: np.ndarray) -> np.ndarray:
        """Return the change of a spectrum with each."""
        some = [self.modes * flux]
        some += [self.scale * flux[np.newaxis]] if self.scale else []
        some += [np.full((1, len(flux)), self.offset)] if self.offset else []
        return np.concatenate(some)


@lru_cache(maxsize=4)
def _nuisance(augment: Augment, pixels: int) -> _Nuisance:
    modes = np.empty((0, pixels))
    if isinstance(augment, WalkAugment):
        modes = _walk_modes(augment, pixels)
    return _Nuisance(modes, augment.scale_sigma, augment.offset_sigma)


def _walk_modes(augment: WalkAugment, pixels: int) -> np.ndarray:
    """Return directions in which the error of the calibration is a sum of unit normals.

    Its covariance is that of many curves, each brought to its amplitude: in the modes that the
    curves are drawn from, it is a small matrix.
    """
    modes = calibration_modes(pixels, augment.calibration_width, augment.calibration_mean_removed)
    dice = np.random.default_rng(_SEED)
    normals = dice.standard_normal((_CURVES, len(modes)))
    scales = np.empty(_CURVES)
    for start in range(0, _CURVES, _ROWS):
        some = slice(start, start + _ROWS)
        curves = calibration_error(
            normals[some].astype(np.float32), np.ones(len(normals[some]), np.float32), modes,
            augment.calibration_max, "fixed",
        )  # fmt: skip
        drawn = normals[some] @ modes
        scales[some] = np.abs(curves).max(axis=1) / np.abs(drawn).max(axis=1)
    mean_square = 1.0 / 3.0 if augment.calibration_law == "uniform" else 1.0
    scaled = normals * scales[:, np.newaxis]
    covariance = mean_square * scaled.T @ scaled / _CURVES
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))).T @ modes)
