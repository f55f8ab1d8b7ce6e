"""Constants and conversions, as plain floats: the one place that has them."""

import numpy as np
from scipy import constants

SPEED_OF_LIGHT_M_S: float = constants.speed_of_light
PLANCK_J_S: float = constants.Planck
BOLTZMANN_J_K: float = constants.Boltzmann
ATOMIC_MASS_KG: float = constants.atomic_mass
SECOND_RADIATION_CM_K = 100.0 * PLANCK_J_S * SPEED_OF_LIGHT_M_S / BOLTZMANN_J_K  # energies in cm-1
PHOTONS_PER_ERG_NM: float = constants.erg * constants.nano / (PLANCK_J_S * SPEED_OF_LIGHT_M_S)
MICRORADIAN_ARCSEC: float = constants.micro / constants.arcsec  # 1 um seen from 1 m
SPEED_OF_LIGHT_ANGSTROM_S: float = SPEED_OF_LIGHT_M_S / constants.angstrom
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian
LN_PER_MAGNITUDE = -0.4 * np.log(10.0)

FLUX_UNIT = 1e-17  # erg s-1 cm-2 AA-1 in one unit of physical flux
FLUX_UNIT_PER_NM = 10.0 * FLUX_UNIT  # the same in erg s-1 cm-2 nm-1
FLUX_UNIT_NAME = "1e-17 erg s-1 cm-2 AA-1"
NANOJANSKY = 1e-32  # erg s-1 cm-2 Hz-1
# erg s-1 cm-2 Hz-1 at magnitude 0: 3631 Jy, as both calculators and the survey round 10^-19.44.
AB_ZERO_POINT = 3.631e-20


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
