"""Constants and conversions, as plain floats."""

import numpy as np

FLUX_UNIT = 1e-17  # erg s-1 cm-2 AA-1 in one unit of physical flux
FLUX_UNIT_NAME = "1e-17 erg s-1 cm-2 AA-1"
SPEED_OF_LIGHT_ANGSTROM_S = 2.99792458e18
NANOJANSKY = 1e-32  # erg s-1 cm-2 Hz-1
AB_ZERO_POINT = 3.631e-20  # erg s-1 cm-2 Hz-1 at magnitude 0
LN_PER_MAGNITUDE = -0.4 * np.log(10.0)
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def ab_flux(magnitude: np.ndarray | float, wavelength_nm: np.ndarray | float) -> np.ndarray:
    """Return the flux density of a source of constant AB magnitude, in 1e-17 erg s-1 cm-2 AA-1.

    The arguments broadcast against each other.
    """
    wavelength_angstrom = 10.0 * np.asarray(wavelength_nm, dtype=float)
    per_hertz = AB_ZERO_POINT * 10.0 ** (-0.4 * np.asarray(magnitude, dtype=float))
    return per_hertz * SPEED_OF_LIGHT_ANGSTROM_S / wavelength_angstrom**2 / FLUX_UNIT


def nanojansky(flux: np.ndarray | float, wavelength_nm: np.ndarray) -> np.ndarray:
    """Return a flux density of 1e-17 erg s-1 cm-2 AA-1 in nJy; the arguments broadcast."""
    wavelength_angstrom = 10.0 * np.asarray(wavelength_nm, dtype=float)
    per_hertz = np.asarray(flux) * FLUX_UNIT * wavelength_angstrom**2 / SPEED_OF_LIGHT_ANGSTROM_S
    return np.asarray(per_hertz / NANOJANSKY)
