"""Night-sky emission lines of OH, computed from molecular constants.

Positions: each vibrational level is a 2 x 2 matrix in Hund's case (a). Strengths: two rotational
temperatures and one sum per band. Accurate to about 0.02 pixels and 0.04 dex for the bright lines.
"""

from functools import cache

import numpy as np

from simlib.etc.shipped_tables import embedded
from simlib.units import SECOND_RADIATION_CM_K

HIGHEST_X = 21  # x = J + 1/2
ROTATIONAL_TEMPERATURE_K = 178.0
HOT_TEMPERATURE_K, HOT_SHARE = 700.0, 0.06
COUPLING = -0.0285  # of vibration and rotation, on the line's m


@cache
def _levels(v: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies and case-(a) coefficients of one v.

    Returns energy (2 parities e f, x from 1, F1 F2), cm-1, NaN for the F1 level that x = 1 lacks,
    and coefficients (…, 2) on 2-Pi-3/2 and 2-Pi-1/2.
    """
    table = embedded("oh_levels.csv", "v", "T", "A", "B", "D_1e3", "H_1e7")
    row = int(np.flatnonzero(table["v"] == v)[0])
    term, a, b = (float(table[name][row]) for name in ("T", "A", "B"))
    d, h = float(table["D_1e3"][row]) * 1e-3, float(table["H_1e7"][row]) * 1e-7
    p, q = 0.23546 - 0.01359 * v, -0.03829 + 0.00176 * v
    sign, x = np.meshgrid([1.0, -1.0], np.arange(1.0, HIGHEST_X + 1), indexing="ij")
    y = x**2
    lam = 1.0 - sign * x
    matrix = np.empty((*x.shape, 2, 2))
    matrix[..., 0, 0] = (
        term
        + a / 2
        + b * (y - 2)
        - d * ((y - 2) ** 2 + y - 1)
        + h * ((y - 2) ** 3 + (y - 1) * (3 * y - 5))
        + q / 2 * (y - 1)
    )
    matrix[..., 1, 1] = (
        term
        - a / 2
        + b * y
        - d * (y**2 + y - 1)
        + h * (y**3 + (y - 1) * (3 * y - 1))
        + p / 2 * lam
        + q / 2 * lam**2
    )
    mixing = b - 2 * d * (y - 1) + h * (3 * (y - 1) ** 2 + y - 1) + p / 4 + q / 2 * lam
    matrix[..., 0, 1] = matrix[..., 1, 0] = -np.sqrt(y - 1) * mixing
    energy, vectors = np.linalg.eigh(matrix)
    coefficients = np.swapaxes(vectors, -1, -2)  # (parity, x, F, part)
    # J = 1/2 has no 2-Pi-3/2 part: its one level is the pure 2-Pi-1/2, an F2
    energy[:, 0, 0], energy[:, 0, 1] = np.nan, matrix[:, 0, 1, 1]
    coefficients[:, 0, 1] = (0.0, 1.0)
    coefficients[:, 0, 0] = 0.0
    return energy, coefficients


def band_lines(v_upper: int, v_lower: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vacuum wavelengths (line,), nm, and photon strengths of one band, summing to 1."""
    upper, upper_parts = _levels(v_upper)
    lower, lower_parts = _levels(v_lower)
    wavenumbers, strengths = [], []
    for change in (-1, 0, 1):  # J'' - J': R, Q, P
        x_upper = np.arange(1, HIGHEST_X + 1)
        x_lower = x_upper + change
        kept = (x_lower >= 1) & (x_lower <= HIGHEST_X)
        up, low = x_upper[kept] - 1, x_lower[kept] - 1
        parity = slice(None, None, -1) if change == 0 else slice(None)
        energy_low, parts_low = lower[parity][:, low], lower_parts[parity][:, low]
        energy_up, parts_up = upper[:, up], upper_parts[:, up]
        roots = _rotational_roots(up + 0.5, change)  # (x, part)
        amplitude = np.einsum("sxip,sxjp,xp->sxij", parts_up, parts_low, roots)
        nu = energy_up[..., :, None] - energy_low[..., None, :]
        m = {-1: low + 1.5, 0: 0.0 * low, 1: -(low + 0.5)}[change]
        warm = _population(energy_up - np.nanmin(upper))[..., :, None]
        strength = warm * amplitude**2 * nu**3 * (1.0 + COUPLING * m[None, :, None, None]) ** 2
        real = np.isfinite(nu) & (strength > 0)
        wavenumbers.append(nu[real])
        strengths.append(strength[real])
    nu, strength = np.concatenate(wavenumbers), np.concatenate(strengths)
    return 1e7 / nu, strength / strength.sum()


def _population(energy: np.ndarray) -> np.ndarray:
    cold = np.exp(-energy * SECOND_RADIATION_CM_K / ROTATIONAL_TEMPERATURE_K)
    hot = np.exp(-energy * SECOND_RADIATION_CM_K / HOT_TEMPERATURE_K)
    return np.asarray(cold + HOT_SHARE * hot)


def _rotational_roots(j: np.ndarray, change: int) -> np.ndarray:
    """Amplitudes of the parts W = 3/2, 1/2 for J'' - J' = change, (J', part)."""
    j = j[:, None]
    w = np.array([1.5, 0.5])[None, :]
    if change == -1:
        return np.asarray(np.sqrt(np.maximum(j**2 - w**2, 0.0) / j))
    if change == 0:
        return np.asarray(w * np.sqrt((2 * j + 1) / (j * (j + 1))))
    return np.asarray(-np.sqrt(np.maximum((j + 1) ** 2 - w**2, 0.0) / (j + 1)))


def oh_lines() -> tuple[np.ndarray, np.ndarray]:
    """Return vacuum wavelengths, nm, and photons s-1 m-2 arcsec-2 at the zenith, SkyCalc level."""
    bands = embedded("oh_bands.csv", "v_upper", "v_lower", "photon_rate")
    found = [
        (wavelength, rate * strength)
        for up, low, rate in zip(
            bands["v_upper"], bands["v_lower"], bands["photon_rate"], strict=True
        )
        for wavelength, strength in [band_lines(int(up), int(low))]
    ]
    return np.concatenate([w for w, _ in found]), np.concatenate([s for _, s in found])
