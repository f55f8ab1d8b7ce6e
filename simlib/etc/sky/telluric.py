"""Absorption by lines of oxygen and water in the air above Mauna Kea, at airmass 1.

One Voigt profile a line. The optical depth is computed finer than the lines are wide; whoever uses
it raises the transmission to the airmass before smoothing. No smooth extinction here.
"""

import numpy as np
from scipy.special import voigt_profile

from simlib.etc.shipped_tables import embedded
from simlib.etc.sky.oxygen import A_BAND, B_BAND, absorption_lines
from simlib.units import ATOMIC_MASS_KG, BOLTZMANN_J_K, SPEED_OF_LIGHT_M_S

OXYGEN_COLUMN = 2.74e24  # molecules cm-2 above 616 hPa
OXYGEN_SIGMA, OXYGEN_HALF_WIDTH = 0.0105, 0.0185  # cm-1
WATER_COLUMN_PER_MM = 3.34e21  # molecules cm-2
WATER_TEMPERATURE_K, WATER_MASS, WATER_HALF_WIDTH = 265.0, 18.015, 0.05
REACH = 25.0  # cm-1; beyond this a line is taken to absorb nothing
CORE = 1.0  # cm-1; beyond this a Voigt profile is a Lorentzian to 1e-3 of itself


def optical_depth(wavelength_nm: np.ndarray, water_mm: float) -> np.ndarray:
    """Return the vertical optical depth of all lines, same shape; wavelength increasing, vacuum.

    water_mm: precipitable water, mm.
    """
    water = embedded("h2o_lines.csv", "wavenumber_per_cm", "strength_cm")
    speed = np.sqrt(BOLTZMANN_J_K * WATER_TEMPERATURE_K / (WATER_MASS * ATOMIC_MASS_KG))
    nu = water["wavenumber_per_cm"]
    depth = _sum_lines(
        wavelength_nm,
        nu,
        water["strength_cm"] * WATER_COLUMN_PER_MM * water_mm,
        nu * speed / SPEED_OF_LIGHT_M_S,
        WATER_HALF_WIDTH,
    )
    for band in (A_BAND, B_BAND):
        nu, strength = absorption_lines(band)
        sigma = np.full(nu.shape, OXYGEN_SIGMA)
        depth += _sum_lines(wavelength_nm, nu, strength * OXYGEN_COLUMN, sigma, OXYGEN_HALF_WIDTH)
    return depth


def _sum_lines(
    wavelength_nm: np.ndarray,
    nu: np.ndarray,
    strength: np.ndarray,
    sigma: np.ndarray,
    half_width: float,
) -> np.ndarray:
    """Add Voigt profiles (cm) of integral `strength`, each to `REACH` from its centre."""
    depth = np.zeros(wavelength_nm.shape)
    grid = 1e7 / wavelength_nm[::-1]  # increasing wavenumber
    edges = np.searchsorted(grid, np.stack([nu - REACH, nu - CORE, nu + CORE, nu + REACH], axis=1))
    for centre, total, width, (start, near, far, stop) in zip(
        nu, strength, sigma, edges, strict=True
    ):
        away = grid[start:stop] - centre
        line = half_width / np.pi / (away**2 + half_width**2)
        core = slice(near - start, far - start)
        line[core] = voigt_profile(away[core], width, half_width)
        depth[start:stop] += total * line
    return depth[::-1].copy()
