"""Lines of molecular oxygen between its states X (ground, 3-Sigma) and b (1-Sigma).

Seen twice from the ground: absorbed in the lower atmosphere (the A band at 760 nm) and emitted by
the airglow (the 0-1 band at 865 nm, which the air below cannot absorb again).
"""

from dataclasses import dataclass

import numpy as np

from simlib.units import SECOND_RADIATION_CM_K

HIGHEST_N = 39
EMISSION_TEMPERATURE_K = 190.0
ABSORPTION_TEMPERATURE_K = 228.0
EMISSION_RATE = 6.2  # photon s-1 m-2 arcsec-2 of the 0-1 band at the zenith, SkyCalc level


@dataclass(frozen=True)
class GroundLevel:
    """Constants of one vibrational level of X, cm-1."""

    b: float
    d: float
    spin_spin: float
    spin_rotation: float


@dataclass(frozen=True)
class Band:
    """One band: its origin, the upper level's constants (cm-1), the lower level."""

    origin: float
    b_upper: float
    d_upper: float
    lower: GroundLevel
    strength_cm: float = 0.0  # absorption, sum over lines, cm per molecule


# Constants fitted to published atmospheric and night-sky wavelengths (HITRAN; Cosby et al. 2006,
# JGR 111, A12307); strengths of the bands: HITRAN (Gordon et al. 2022, JQSRT 277, 107949).
GROUND_0 = GroundLevel(1.437676, 4.84e-6, 1.984751, -0.008425)
GROUND_1 = GroundLevel(1.421898, 4.86e-6, 1.98959, -0.008446)
A_BAND = Band(13120.907, 1.391249, 5.369e-6, GROUND_0, 2.296e-22)
B_BAND = Band(14525.648, 1.372953, 5.38e-6, GROUND_0, 1.523e-23)
EMISSION_BAND = Band(11564.52, 1.391249, 5.369e-6, GROUND_1)


def ground_energy(level: GroundLevel, n: np.ndarray, spin: int) -> np.ndarray:
    """Return the energy of X at rotation n, J = n + spin (spin -1, 0, 1), cm-1."""
    b, lam, gamma = level.b, level.spin_spin, level.spin_rotation
    base = b * n * (n + 1) - level.d * (n * (n + 1)) ** 2
    if spin == 0:
        return np.asarray(base)
    k = 2 * n + 3 if spin == 1 else 2 * n - 1
    root = np.sqrt((k * b) ** 2 + lam**2 - 2 * lam * b)
    if spin == 1:
        return np.asarray(base + k * b - lam - root + gamma * (n + 1))
    return np.asarray(base - k * b - lam + root - gamma * n)


def band_lines(band: Band) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return wavenumber, rotational strength, lower and upper energy of every line, cm-1.

    Only odd n exist below and only even J above (identical nuclei without spin).
    """
    n = np.arange(1.0, HIGHEST_N + 1, 2.0)
    # lower spin component, J' of the upper level, rotational strength
    branches = (
        (0, n + 1, n / 2),  # R from J = n
        (0, n - 1, (n + 1) / 2),  # P from J = n
        (1, n + 1, (n + 2) / 2),  # Q from J = n + 1
        (-1, n - 1, (n - 1) / 2),  # Q from J = n - 1
    )
    low = np.concatenate([ground_energy(band.lower, n, spin) for spin, _, _ in branches])
    j = np.concatenate([j for _, j, _ in branches])
    strength = np.concatenate([s for _, _, s in branches])
    up = band.b_upper * j * (j + 1) - band.d_upper * (j * (j + 1)) ** 2
    real = strength > 0
    return (band.origin + up - low)[real], strength[real], low[real], up[real]


def absorption_lines(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers, cm-1, and strengths, cm per molecule, that sum to the band's."""
    nu, rotational, low, _ = band_lines(band)
    weight = nu * rotational * np.exp(-low * SECOND_RADIATION_CM_K / ABSORPTION_TEMPERATURE_K)
    return nu, band.strength_cm * weight / weight.sum()


def emission_lines() -> tuple[np.ndarray, np.ndarray]:
    """Return vacuum wavelengths, nm, and photons s-1 m-2 arcsec-2 at the zenith, SkyCalc level."""
    nu, rotational, _, up = band_lines(EMISSION_BAND)
    weight = nu**3 * rotational * np.exp(-up * SECOND_RADIATION_CM_K / EMISSION_TEMPERATURE_K)
    return 1e7 / nu, EMISSION_RATE * weight / weight.sum()
