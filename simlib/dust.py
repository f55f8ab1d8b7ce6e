"""Extinction by the diffuse dust of the Milky Way.

The mean curve of Cardelli, Clayton & Mathis 1989, ApJ 345, 245 (CCM89), equations 2 and 3, for
0.303-3.3 um. Its two pieces do not quite meet at 909.1 nm, as published.
"""

import numpy as np

_OPTICAL_A = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
_OPTICAL_B = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)


def extinction_curve(wavelength_nm: np.ndarray, r_v: float) -> np.ndarray:
    """Return A(wavelength) / E(B-V), same shape as wavelength_nm (303-3333 nm).

    Raises ValueError outside the range of the two pieces.
    """
    x = 1e3 / np.asarray(wavelength_nm, dtype=float)  # per micron
    if np.any((x < 0.3) | (x > 3.3)):
        raise ValueError("CCM89 is used here for 303-3333 nm only")
    y = x - 1.82
    optical = np.polynomial.polynomial.polyval(y, _OPTICAL_A) * r_v
    optical += np.polynomial.polynomial.polyval(y, _OPTICAL_B)
    infrared = (0.574 * r_v - 0.527) * x**1.61
    return np.where(x >= 1.1, optical, infrared)


def transmission(wavelength_nm: np.ndarray, ebv: np.ndarray | float, r_v: float) -> np.ndarray:
    """Return the fraction of light that passes dust of reddening ebv (broadcasts)."""
    magnitudes = np.asarray(ebv, dtype=float) * extinction_curve(wavelength_nm, r_v)
    return np.asarray(10.0 ** (-0.4 * magnitudes))
