"""Simulated stars as other spectrographs see them: of finer and coarser lines, by other arms."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from simlib import dust
from simlib.config import SimulationConfig, load_config
from simlib.instrument import load_instrument
from simlib.parameters import AXES, draw_parameters
from simlib.simulation import reference
from simlib.simulation.simulate import simulate
from simlib.spectra.observed import Stated
from simlib.stellar.grid import open_grid
from simlib.units import FWHM_PER_SIGMA, SPEED_OF_LIGHT_M_S
from trainlib.onsky.denoise import Bundle, Denoised

KM_S = 1e-3 * SPEED_OF_LIGHT_M_S


@dataclass(frozen=True, eq=False)
class Stars:
    """Noiseless flux and variance on pixels, (stars, pixels), normalised; what they are, in rows.

    wavelength: nm, (pixels,), or (stars, pixels) where each has its own.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    variance: np.ndarray
    rows: xr.Dataset

    def denoised(self, bundle: Bundle, seed: int, stated: Stated | None = None) -> list[Denoised]:
        """Return what a bundle makes of them and some noise."""
        noise = np.random.default_rng(seed).standard_normal(self.flux.shape)
        noisy = self.flux + noise * np.sqrt(self.variance)
        found = bundle.denoise(self.wavelength, noisy, self.variance, stated=stated)
        assert isinstance(found, list)
        return [one for one in found if isinstance(one, Denoised)]


def settings() -> SimulationConfig:
    return load_config("survey", ["terms.source='direct'"])


def stars_seen_by(instrument: str, count: int) -> Stars:
    """Return stars of `survey` that no training saw, as an arm sees them."""
    config, grid, arm = settings(), open_grid("default"), load_instrument(instrument)
    rows = draw_parameters(config, grid, "test", 0, count)
    seen = simulate(rows, grid, arm, config)
    flux, variance = (seen[name].values.astype(float) for name in ("flux", "variance"))
    return Stars(arm.wavelength, flux, variance, seen.drop_dims("wavelength"))


def of_resolution(stars: Stars, resolution: float | None, pixels: float = 2.5) -> Stars:
    """Return the same stars with other lines, and pixels as wide as a part of their FWHM.

    None: those of the grid, on its own points. As many photons come: per wavelength, the variance
    of a narrower pixel is larger.
    """
    grid, config = open_grid("default"), settings()
    pitch = stars.wavelength[1] - stars.wavelength[0]
    told, found = float(grid.attrs["resolution"]), []
    for row in range(len(stars.flux)):
        star = stars.rows.isel(spectrum=row)
        values = {name: float(star[name]) for name in AXES}
        flux, _ = reference.template(grid, values, int(star["interpolated_axis"]))
        wavelength = grid["wavelength_model"].values * (1.0 + float(star["redshift"]))
        flux = flux * dust.transmission(wavelength, float(star["ebv"]), config.stellar.r_v)
        if resolution is not None:
            step = np.log(wavelength[1] / wavelength[0])
            missing = np.sqrt(resolution**-2.0 - told**-2.0) / FWHM_PER_SIGMA
            flux = gaussian_filter1d(flux, missing / step)
            even = np.arange(stars.wavelength[0], stars.wavelength[-1],
                             stars.wavelength.mean() / resolution / pixels)  # fmt: skip
            wavelength, flux = even, np.interp(even, wavelength, flux)
        inside = (wavelength > stars.wavelength[0]) & (wavelength < stars.wavelength[-1])
        first = int(np.argmax(inside))
        some = slice(first, first + int(inside.sum()))
        found.append((wavelength[some], flux[some] / np.median(flux[some])
                      * np.median(stars.flux[row])))  # fmt: skip
    fewest = min(one.size for one, _ in found)
    at, flux = (np.stack([part[:fewest] for part in column]) for column in zip(*found, strict=True))
    variance = np.stack([
        np.interp(one, stars.wavelength, noise) * pitch / np.gradient(one)
        for one, noise in zip(at, stars.variance, strict=True)
    ])  # fmt: skip
    return replace(stars, wavelength=at, flux=flux, variance=variance)


def off_km_s(found: list[Denoised], stars: Stars) -> np.ndarray:
    """Return how far redshifts are from the truth, km/s."""
    return KM_S * (np.array([one.redshift for one in found]) - stars.rows["redshift"].values)


def pulls(found: list[Denoised], stars: Stars) -> np.ndarray:
    """Return the same in the errors that are told."""
    return off_km_s(found, stars) / KM_S / np.array([one.redshift_error for one in found])


def share_good(found: list[Denoised]) -> float:
    return float(np.mean([one.verdict == "good" for one in found]))
