"""Spectra of what no training star is, as clean flux on the instrument's pixels.

Each stands in the place of a clean spectrum: it has its median and its noise. Stars beyond the grid
are black bodies with the lines and bands that rule this arm; galaxies are made of the grid's own
giants at a velocity dispersion, or of a smooth continuum and the lines of ionised gas.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from simlib.parameters import AXES
from simlib.units import SPEED_OF_LIGHT_M_S
from trainlib.evaluation.examples import DEEPENED_NM, NEW_LINE_NM, line_profile

LINES = {"new line": (NEW_LINE_NM, 0.4), "deepened line": (DEEPENED_NM, 0.3)}  # vacuum nm, depth
SKY = "blank sky"  # noise alone
_LIGHT_KMS = 1e-3 * SPEED_OF_LIGHT_M_S
_STEP_KMS = 10.0  # of the galaxies' own wavelengths
_GIANTS = 12
_RYDBERG_NM = 91.1763  # of hydrogen
_TIO_NM = (705.6, 712.8, 766.8, 820.8, 843.4, 886.1)  # heads, degraded to the red
_TIO_WIDTH_NM = 9.0
_ALKALI_NM = (766.70, 770.11, 818.55, 819.71)
# line -> strength over that of H alpha
_GAS_NM = {656.46: 1.0, 654.99: 0.15, 658.53: 0.45, 671.83: 0.2, 673.27: 0.15, 728.2: 0.03}
_SHARPEST = 1.3  # pixels, as the instrument makes the sharpest


@dataclass(frozen=True, eq=False)
class Places:
    """Clean spectra (rows, pixels) whose place strangers take; wavelength: nm, redshift: (rows,).

    giants: relative flux of giants at rest, on `at_nm`, which is even in its logarithm.
    """

    flux: np.ndarray
    wavelength: np.ndarray
    redshift: np.ndarray
    at_nm: np.ndarray
    giants: np.ndarray


def places(
    flux: np.ndarray, wavelength: np.ndarray, redshift: np.ndarray, grid: xr.Dataset
) -> Places:
    """Return the places of clean spectra. grid: a stellar grid."""
    model = grid["wavelength_model"].values
    step = _STEP_KMS / _LIGHT_KMS
    at = np.exp(np.arange(np.log(model[0]), np.log(model[-1]), step))
    stars = [
        np.interp(at, model, grid["flux_normalized"].isel(node).values) for node in _giants(grid)
    ]
    return Places(flux, wavelength, redshift, at, np.mean(stars, axis=0))


def _giants(grid: xr.Dataset) -> list[dict[str, int]]:
    """Return some nodes of the warmer half, of low gravity first."""
    nodes = np.argwhere(grid["present"].transpose(*AXES).values)
    middle = np.median(grid["teff"].values)
    warm = nodes[grid["teff"].values[nodes[:, 0]] >= middle]
    order = np.argsort(warm[:, 1], kind="stable")
    return [dict(zip(AXES, map(int, warm[one]), strict=True)) for one in order[:_GIANTS]]


def stranger(kind: str, at: Places, seed: int) -> np.ndarray:
    """Return clean flux (rows, pixels) of a kind; of `blank sky`, none."""
    if kind == SKY:
        return np.zeros_like(at.flux)
    if kind in LINES:
        line, depth = LINES[kind]
        profile = line_profile(at.wavelength, line, at.redshift, depth)
        return np.asarray(at.flux * (1.0 - profile.numpy()), dtype=np.float32)
    dice = np.random.default_rng([seed, list(KINDS).index(kind)])
    made = gaussian_filter1d(_MAKERS[kind](at, dice), _SHARPEST, axis=1, mode="nearest")
    wanted = np.median(at.flux, axis=1, keepdims=True)
    scaled = made * wanted / np.median(made, axis=1, keepdims=True)
    return np.asarray(scaled, dtype=np.float32)


def _drawn(dice: np.random.Generator, low: float, high: float, at: Places) -> np.ndarray:
    return dice.uniform(low, high, (len(at.flux), 1))


def _black_body(wavelength: np.ndarray, kelvin: np.ndarray) -> np.ndarray:
    flux: np.ndarray = (wavelength / 800.0) ** -5 / np.expm1(1.4388e7 / (wavelength * kelvin))
    return flux


def _line(rest: np.ndarray, centre: float, sigma: np.ndarray | float) -> np.ndarray:
    profile: np.ndarray = np.exp(-0.5 * ((rest - centre) / sigma) ** 2)
    return profile


def _hot(at: Places, dice: np.random.Generator) -> np.ndarray:
    """Return stars of 7000 to 15,000 K: hydrogen's Paschen series, deepest in the A stars."""
    kelvin = _drawn(dice, 7000.0, 15000.0, at)
    rest = at.wavelength / (1.0 + at.redshift[:, np.newaxis])
    flux = _black_body(rest, kelvin)
    for upper in range(11, 21):
        centre = _RYDBERG_NM / (1.0 / 9.0 - 1.0 / upper**2)
        deep = 0.35 * np.exp(-(((kelvin - 9000.0) / 4500.0) ** 2)) * (12.0 / upper) ** 0.7
        flux *= 1.0 - deep * _line(rest, centre, 0.8)
    return flux


def _cool(at: Places, dice: np.random.Generator) -> np.ndarray:
    """Return stars of 2300 to 3200 K: bands of TiO, and the lines of Na and K."""
    kelvin = _drawn(dice, 2300.0, 3200.0, at)
    rest = at.wavelength / (1.0 + at.redshift[:, np.newaxis])
    flux = _black_body(rest, kelvin)
    deep = 0.2 + 0.5 * (3200.0 - kelvin) / 900.0
    for head in _TIO_NM:
        flux *= 1.0 - deep * np.where(rest >= head, np.exp(-(rest - head) / _TIO_WIDTH_NM), 0.0)
    for centre in _ALKALI_NM:
        flux *= 1.0 - 0.6 * _line(rest, centre, 0.4)
    return flux


def _galaxy(at: Places, dice: np.random.Generator) -> np.ndarray:
    """Return giants' light at 120 to 280 km/s, redshifted by 0.005 to 0.05; unity beyond it."""
    redshift, slope = _drawn(dice, 0.005, 0.05, at), _drawn(dice, -0.2, 0.2, at)
    rows = []
    for one, wide in zip(redshift[:, 0], dice.uniform(120.0, 280.0, len(redshift)), strict=True):
        smooth = gaussian_filter1d(at.giants, wide / _STEP_KMS, mode="nearest")
        rows.append(np.interp(at.wavelength / (1.0 + one), at.at_nm, smooth, left=1.0, right=1.0))
    return np.asarray(np.stack(rows) * _continuum(at, slope))


def _gas(at: Places, dice: np.random.Generator) -> np.ndarray:
    """Return galaxies that form stars, at redshifts of 0.09 to 0.32: H alpha and its neighbours."""
    redshift, slope = _drawn(dice, 0.09, 0.32, at), _drawn(dice, -0.2, 0.2, at)
    strength, wide = _drawn(dice, 0.5, 3.0, at), _drawn(dice, 60.0, 200.0, at)  # nm, km/s
    rest = at.wavelength / (1.0 + redshift)
    flux = np.ones_like(rest)
    for centre, share in _GAS_NM.items():
        sigma = centre * wide / _LIGHT_KMS
        height = share * strength / (np.sqrt(2.0 * np.pi) * sigma * (1.0 + redshift))
        flux += height * _line(rest, centre, sigma)
    return np.asarray(flux * _continuum(at, slope))


def _continuum(at: Places, slope: np.ndarray) -> np.ndarray:
    along = np.linspace(-1.0, 1.0, len(at.wavelength))
    return np.asarray(1.0 + slope * along)


_MAKERS: Mapping[str, Callable[[Places, np.random.Generator], np.ndarray]] = {
    "hotter star": _hot, "cooler star": _cool, "galaxy": _galaxy, "galaxy with gas": _gas,
}  # fmt: skip
KINDS = (*LINES, *_MAKERS, SKY)
