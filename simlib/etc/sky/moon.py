"""Moonlight scattered by the air, per unit of sky.

Krisciunas & Schaefer 1991 (PASP 103, 1033) in V, with one colour for each of its two scatterers.
Every function takes one variable: the product of them is the brightness.
"""

import numpy as np

from simlib.etc.sky.atmosphere import airmass

V_NM = 550.0
MOON_TEMPERATURE_NM = 2480.0  # h c / (k T) of the Moon's light, T = 5800 K
PHOTONS_PER_NANOLAMBERT = 5.48e10 / 3.408e10 / V_NM  # s-1 m-2 arcsec-2 nm-1
HORIZON_DEG = 90.0


def phase_brightness(phase: np.ndarray) -> np.ndarray:
    """Return the illuminance of the Moon outside the air; phase 0 new, 0.5 full, same shape."""
    angle = 360.0 * np.abs(np.mod(phase, 1.0) - 0.5)
    brightness = 10.0 ** (-0.4 * (3.84 + 0.026 * angle + 4e-9 * angle**4))
    return np.asarray(brightness * np.where(angle < 7.0, 1.35 - 0.05 * angle, 1.0))


def rayleigh_scattering(moon_target_angle_deg: np.ndarray) -> np.ndarray:
    """Return the scattering of molecules at this angle, same shape."""
    return np.asarray(2.29e5 * (1.06 + np.cos(np.deg2rad(moon_target_angle_deg)) ** 2))


def mie_scattering(moon_target_angle_deg: np.ndarray) -> np.ndarray:
    """Return the scattering of aerosols at this angle, same shape."""
    return np.asarray(10.0 ** (6.15 - np.asarray(moon_target_angle_deg) / 40.0))


def path_to_moon(moon_zenith_angle_deg: np.ndarray, extinction_v: float) -> np.ndarray:
    """Return the transmission towards the Moon, as if it stood at 90 deg where it is lower."""
    angle = np.minimum(moon_zenith_angle_deg, HORIZON_DEG)
    return np.asarray(10.0 ** (-0.4 * extinction_v * airmass(angle)))


def is_up(moon_zenith_angle_deg: np.ndarray) -> np.ndarray:
    """Return where the Moon is above the horizon; elsewhere it gives no light at all."""
    return np.asarray(np.asarray(moon_zenith_angle_deg) < HORIZON_DEG)


def scattered_share(target_airmass: np.ndarray, extinction_v: float) -> np.ndarray:
    """Return the share of moonlight scattered on the path to the target, same shape."""
    return np.asarray(1.0 - 10.0 ** (-0.4 * extinction_v * np.asarray(target_airmass)))


def colours(wavelength_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return photon ratios to 550 nm of moonlight scattered by molecules and by aerosols."""
    ratio = np.asarray(wavelength_nm, dtype=np.float64) / V_NM
    body = np.expm1(MOON_TEMPERATURE_NM / V_NM) / np.expm1(MOON_TEMPERATURE_NM / wavelength_nm)
    return np.asarray(body * ratio**-7.0), np.asarray(body * ratio**-4.3)
