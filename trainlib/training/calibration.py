"""Error of the flux calibration: a low-passed random walk along wavelength (paper, section 3.3).

The walk is linear in its white steps, so steps, sum, low-pass and sampling are one matrix, reduced
here to its few singular modes; at run time a curve costs one small product and no transform.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d

from simlib.fingerprint import fingerprint
from simlib.fit.problem import Calibration
from simlib.kept import kept_arrays
from simlib.units import FWHM_PER_SIGMA
from trainlib.config import Augment, WalkAugment

_COARSE = 256  # samples over the range; the modes are smooth on this scale
_LONGER = 4  # the walk is this much longer than the range: its own ends are never seen
_NEGLIGIBLE = 1e-4  # of the largest singular value
_CURVES, _ROWS = 16_384, 256  # from which the covariance of the errors is taken; at a time
_SEED = 1
_VERSION = 1  # of what is kept

Numbers = Any  # an array, or a tensor


@lru_cache(maxsize=4)
def calibration_modes(pixels: int, width: float, mean_removed: bool) -> np.ndarray:
    """Return (modes, pixels) float32: normals of shape (n, modes) times this are low-passed walks.

    pixels: samples of a curve. width: FWHM of the Gaussian low-pass, as a fraction of the range.
    mean_removed: each curve has mean 0; else it starts at 0.
    """
    coarse = int(np.ceil(max(_COARSE, 16 / width)))
    length = _LONGER * coarse
    first = (length - coarse) // 2
    walk = np.tril(np.ones((length, length)))
    sigma = width * coarse / FWHM_PER_SIGMA
    smooth = gaussian_filter1d(walk, sigma, axis=0, mode="nearest", truncate=6.0)
    curves = smooth[first : first + coarse]
    curves -= curves.mean(axis=0) if mean_removed else curves[0]
    vectors, values, _ = np.linalg.svd(curves, full_matrices=False)
    kept = values > _NEGLIGIBLE * values[0]
    spline = make_interp_spline(np.linspace(0.0, 1.0, coarse), vectors[:, kept] * values[kept])
    modes = spline(np.linspace(0.0, 1.0, pixels)).T
    modes -= modes.mean(axis=1, keepdims=True) if mean_removed else modes[:, :1]
    return np.ascontiguousarray(modes, dtype=np.float32)


def calibration_error(
    normals: np.ndarray, uniform: np.ndarray, modes: np.ndarray, largest: float, law: str
) -> np.ndarray:
    """Return (rows, pixels) relative errors whose largest absolute value is the row's amplitude.

    normals: (rows, modes). uniform: (rows,) in [0, 1]. law: "uniform" draws the amplitude from
    U(0, largest), "fixed" always takes `largest`.
    """
    curves, most = walks(normals, modes)
    curves *= (amplitudes(uniform, largest, law) / most)[:, None]
    return curves


def amplitudes(uniform: Numbers, largest: float, law: str) -> Numbers:
    """Return the largest absolute error of each row, (rows,)."""
    return largest * uniform if law == "uniform" else 0.0 * uniform + largest


def walks(normals: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return low-passed walks (rows, pixels), float32, and the largest absolute value of each."""
    curves = np.asarray(normals @ modes, np.float32)
    return curves, np.maximum(curves.max(axis=1), -curves.min(axis=1))


@lru_cache(maxsize=4)
def calibration_of(augment: Augment, pixels: int) -> Calibration:
    """Return what the augmentation leaves unknown of the flux: its errors, scale and offset."""
    modes = np.empty((0, pixels))
    if isinstance(augment, WalkAugment):
        name = f"calibration-{fingerprint(augment, pixels, _CURVES, _SEED)}-{_VERSION}"
        modes = kept_arrays("templates", name, lambda: {"modes": _walk_modes(augment, pixels)})[
            "modes"
        ]
    scale = np.full((1, pixels), augment.scale_sigma)
    return Calibration(np.concatenate([modes, scale]).astype(np.float32), augment.offset_sigma)


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
