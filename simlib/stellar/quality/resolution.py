"""Bring a grid's spectra to a lower resolution: a Gaussian of the quadrature difference."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from simlib.errors import InputError
from simlib.units import FWHM_PER_SIGMA


def degrade(
    flux: np.ndarray, wavelength_nm: np.ndarray, resolution_from: float, resolution_to: float
) -> np.ndarray:
    """Return flux (…, wavelength) at a lower resolution, FWHM = wavelength / resolution.

    wavelength_nm: (n,), uniform in its logarithm to 1 %, as stellar grids are.
    """
    if resolution_to >= resolution_from:
        raise InputError(
            f"a spectrum of resolution {resolution_from:g} cannot be brought to {resolution_to:g}"
        )
    steps = np.diff(np.log(wavelength_nm))
    if np.ptp(steps) > 0.01 * steps.mean():
        raise InputError("wavelengths are not uniform in their logarithm; resample them first")
    fwhm = np.sqrt(resolution_to**-2.0 - resolution_from**-2.0)
    sigma = fwhm / FWHM_PER_SIGMA / steps.mean()
    return np.asarray(gaussian_filter1d(flux, sigma, axis=-1, mode="nearest", truncate=5.0))
