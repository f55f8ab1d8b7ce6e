"""The simulator as one would write it first, with NumPy and SciPy, one spectrum after the other.

Spline over the whole axis, shift, CCM89 by powers on every sample, a Gaussian convolved with the
pixel's box summed in a loop over pixels, the band's counts, terms by RegularGridInterpolator.
"""

import itertools
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline, RegularGridInterpolator
from scipy.special import erf

from simlib import dust, photometry
from simlib.config import SimulationConfig
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.parameters import AXES
from simlib.stellar.grid import continuum_on

REACH = 5.0  # sigmas of the kernel that are summed
NODES = {"zenith_angle": 4, "seeing": 5, "field_angle": 4}
SKY_NODES = {"zenith_angle": 4, "moon_zenith_angle": 4, "moon_target_angle": 4, "moon_phase": 3}


class Textbook:
    """Everything that is read once; `spectrum` is what is timed."""

    def __init__(self, config: SimulationConfig, grid: xr.Dataset, terms: xr.Dataset) -> None:
        self.config = config
        self.rest = grid["wavelength_model"].values
        continuum = continuum_on(grid, self.rest)
        self.flux = grid["flux_normalized"].values * continuum
        self.axes = [grid[name].values for name in AXES]
        self.resolution = float(grid.attrs["resolution"])
        self.pixels = terms["wavelength"].values
        self.lsf_sigma = terms["lsf_sigma"].values
        self.band = photometry.load_band(config.stellar.band)
        self.zero = photometry.zero_counts(self.band)
        self.conversion = self._table(terms, NODES, lambda t: t["conversion_e"])
        self.sky = self._table(
            terms, SKY_NODES, lambda t: t["sky_continuum_e"] + t["sky_lines_e"] + t["moon_e"]
        )
        self.terms = terms

    def _table(self, terms: xr.Dataset, counts: dict[str, int], pick: Any) -> Any:
        ranges = self.config.conditions
        axes = [np.linspace(*getattr(ranges, name), count) for name, count in counts.items()]
        points = np.array(list(itertools.product(*axes))).T
        usual = {"seeing": 0.8, "zenith_angle": 30.0, "field_angle": 0.3, "moon_phase": 0.1,
                 "moon_zenith_angle": 60.0, "moon_target_angle": 90.0}  # fmt: skip
        columns = {name: np.full(points.shape[1], value) for name, value in usual.items()}
        columns |= dict(zip(counts, points, strict=True))
        rows = xr.Dataset({name: ("condition", column) for name, column in columns.items()})
        values = pick(interpolate_terms(terms, rows)).values
        return RegularGridInterpolator(axes, values.reshape(*counts.values(), -1))

    def spectrum(self, star: xr.Dataset) -> tuple[np.ndarray, np.ndarray, float]:
        """Return normalised flux, variance and S/N of one row."""
        along = int(star["interpolated_axis"])
        values = [float(star[name]) for name in AXES]
        where: list[Any] = [
            int(np.abs(nodes - value).argmin())
            for nodes, value in zip(self.axes, values, strict=True)
        ]
        where[along] = slice(None)
        template = CubicSpline(self.axes[along], self.flux[tuple(where)])(values[along])
        observed = self.rest * (1.0 + float(star["redshift"]))
        reddened = template * dust.transmission(observed, float(star["ebv"]), 3.1)
        weights, _, _ = photometry.sample_weights(self.band, observed)
        scale = self.zero * 10.0 ** (-0.4 * float(star["magnitude"])) / (weights @ reddened)
        flux = scale * self.to_pixels(observed, reddened)
        conversion = self.conversion([[float(star[name]) for name in NODES]])[0]
        sky = self.sky([[float(star[name]) for name in SKY_NODES]])[0]
        count = self.config.conditions.exposure_count
        electrons = count * (conversion * flux + sky + 0.015 * sky.mean())
        electrons += count * float(self.terms["read_variance_e2"])
        around = np.maximum(sky, np.maximum(np.roll(sky, 1), np.roll(sky, -1)))
        electrons += (count * 0.01 * around) ** 2
        variance = electrons / (count * conversion) ** 2
        unit = np.median(flux) / 0.5
        snr = float(np.median(flux / np.sqrt(variance)))
        return flux / unit, variance / unit**2, snr

    def to_pixels(self, wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Convolve and integrate over pixels."""
        width = self.pixels[1] - self.pixels[0]
        widths = np.gradient(wavelength)
        out = np.empty(len(self.pixels))
        for i, centre in enumerate(self.pixels):
            template = centre / (2.3548200450309493 * self.resolution)
            sigma = np.sqrt(self.lsf_sigma[i] ** 2 - width**2 / 12.0 - template**2)
            low, high = np.searchsorted(
                wavelength, (centre - REACH * sigma - width, centre + REACH * sigma + width)
            )
            offset = centre - wavelength[low:high]
            right = erf((offset + 0.5 * width) / (np.sqrt(2.0) * sigma))
            left = erf((offset - 0.5 * width) / (np.sqrt(2.0) * sigma))
            out[i] = np.sum(0.5 * (right - left) / width * flux[low:high] * widths[low:high])
        return out
