"""One observation in the paper's order (section 2.2), in float64, written to be read.

Spline along one parameter; Doppler shift of the wavelength axis; dust; line spread function and
pixel box at the template's own sampling; scale to a magnitude. Slow: the faster paths are judged
against this one.
"""

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib import dust, photometry
from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.simulation.line_spread import LineSpread
from simlib.stellar.grid import continuum_on

_REACH = 10.0  # sigmas of the kernel that are summed


def observe(
    star: xr.Dataset, grid: xr.Dataset, line_spread: LineSpread, band_name: str, r_v: float
) -> np.ndarray:
    """Return the flux of one star at the pixels, (pixels,), 1e-17 erg s-1 cm-2 AA-1.

    star: one row of the parameter table (scalars).
    """
    values = {name: float(star[name]) for name in (*AXES, "redshift", "ebv", "magnitude")}
    flux, continuum = template(grid, values, int(star["interpolated_axis"]))
    wavelength = grid["wavelength_model"].values * (1.0 + values["redshift"])
    dimming = dust.transmission(wavelength, values["ebv"], r_v)
    reddened, continuum = flux * dimming, continuum * dimming
    scale = magnitude_scale(wavelength, reddened, continuum, values["magnitude"], band_name)
    return scale * to_pixels(wavelength, reddened, line_spread)


def template(
    grid: xr.Dataset, values: dict[str, float], interpolated_axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and continuum (n,) at the star's surface, splined along one axis or all (-1)."""
    if interpolated_axis < 0:
        return _template_between_nodes(grid, values)
    along = AXES[interpolated_axis]
    others = {name: values[name] for name in AXES if name != along}
    line = grid.sel(others, method="nearest", tolerance=1e-3)
    continuum = continuum_on(line, line["wavelength_model"].values)
    flux = line["flux_normalized"].values.astype(float) * continuum
    nodes, at = line[along].values, values[along]
    return _splined(nodes, flux, at), _splined(nodes, continuum, at)


def _template_between_nodes(
    grid: xr.Dataset, values: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and continuum, splined along one axis after the other."""
    if not grid["present"].values.all():
        raise InputError(
            "this stellar grid misses nodes: the reference path takes stars on nodes but for one "
            "parameter, `interpolated_axis`; use the compiled path for others"
        )
    continuum = continuum_on(grid, grid["wavelength_model"].values)
    flux = grid["flux_normalized"].values.astype(float) * continuum
    for name in AXES:
        nodes, at = grid[name].values, values[name]
        flux, continuum = _splined(nodes, flux, at), _splined(nodes, continuum, at)
    return flux, continuum


def _splined(nodes: np.ndarray, rows: np.ndarray, at: float) -> np.ndarray:
    """Return the not-a-knot spline through rows (nodes, …) at a place, (…)."""
    return np.asarray(rows[0] if len(nodes) == 1 else CubicSpline(nodes, rows)(at))


def magnitude_scale(
    wavelength: np.ndarray,
    flux: np.ndarray,
    continuum: np.ndarray,
    magnitude: float,
    band_name: str,
) -> float:
    """Return the factor that gives the spectrum its AB magnitude, in 1e-17 erg s-1 cm-2 AA-1."""
    band = photometry.load_band(band_name)
    weights, below, above = photometry.sample_weights(band, wavelength)
    counts = np.sum(weights * flux) + below * continuum[0] + above * continuum[-1]
    return float(photometry.zero_counts(band) * 10.0 ** (-0.4 * magnitude) / counts)


def to_pixels(
    wavelength: np.ndarray,
    flux: np.ndarray,
    line_spread: LineSpread,
    centres: np.ndarray | None = None,
) -> np.ndarray:
    """Convolve with the line spread function and integrate over pixels, exactly at their centres.

    wavelength, flux: (n,), observed. centres: other places (m,) that a pixel may have.
    Returns (pixels,).
    """
    centres = line_spread.wavelength if centres is None else centres
    half = line_spread.reach(centres, _REACH)
    first = np.searchsorted(wavelength, centres - half)
    count = np.searchsorted(wavelength, centres + half) - first
    begin = np.cumsum(count) - count  # of each pixel's samples among all that are summed
    pixel = np.repeat(np.arange(len(centres)), count)
    sample = np.arange(len(pixel)) + np.repeat(first - begin, count)
    kernel = line_spread.kernel(centres[pixel] - wavelength[sample], centres[pixel])
    weighted = flux * np.gradient(wavelength)
    return np.asarray(np.add.reduceat(kernel * weighted[sample], begin))
