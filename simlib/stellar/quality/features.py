"""Features by which a spectrum of a cool star is judged: line depths, bands, pseudo-continua."""

import numpy as np

from simlib.air_wavelengths import air_to_vacuum

LINES_AIR = {  # nm
    "Ca II 8498": 849.8023, "Ca II 8542": 854.2091, "Ca II 8662": 866.2141,
    "Na I 8183": 818.3255, "Na I 8195": 819.4810, "K I 7699": 769.8964,
    "Mg I 8807": 880.6757, "Fe I 8689": 868.8624,
    "Ti I 8382": 838.2531, "Ti I 8412": 841.2358, "Ti I 8427": 842.6507, "Ti I 8435": 843.5300,
    "Si I 7423": 742.3497, "Si I 8648": 864.8465, "Si I 8752": 875.2007,
}  # fmt: skip
LINES = {name: float(air_to_vacuum(np.array(air))) for name, air in LINES_AIR.items()}
CORE_NM = 0.05  # half width in which a line's minimum is looked for
CALCIUM = ("Ca II 8542", "Ca II 8662")
WIDTH_NM, AROUND_NM = 1.0, 2.0  # half windows of the equivalent width and of its continuum
TIO_BAND = ((704.2, 704.6), (712.6, 713.5))  # nm, air: outside and inside the head at 7126 A
CN_BAND = (790.0, 810.0)  # nm
MEAN = (691.0, 909.0)  # nm
STRETCH_NM = 10.0


def features(flux: np.ndarray, wavelength_nm: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of spectra (…, n), each (…); `depth` is (line, …).

    flux: over the true continuum. wavelength_nm: (n,), vacuum. NaN where a spectrum is NaN or does
    not reach.
    """
    outside, inside = (_mean(flux, wavelength_nm, *_in_vacuum(band)) for band in TIO_BAND)
    return {
        "depth": np.stack([line_depth(flux, wavelength_nm, line) for line in LINES]),
        "calcium_width": sum(
            (equivalent_width(flux, wavelength_nm, LINES[line]) for line in CALCIUM),
            start=np.zeros(flux.shape[:-1]),
        ),
        "tio_step": inside / outside,
        "cn_band": _mean(flux, wavelength_nm, *CN_BAND),
        "mean": _mean(flux, wavelength_nm, *MEAN),
        "lowest_top": lowest_top(flux, wavelength_nm),
    }


def line_depth(flux: np.ndarray, wavelength_nm: np.ndarray, line: str) -> np.ndarray:
    """Return 1 - the lowest flux in the core of a line, (…)."""
    core = np.abs(wavelength_nm - LINES[line]) < CORE_NM
    return 1 - flux[..., core].min(axis=-1) if core.any() else np.full(flux.shape[:-1], np.nan)


def equivalent_width(flux: np.ndarray, wavelength_nm: np.ndarray, centre: float) -> np.ndarray:
    """Return the width (A) within WIDTH_NM of a line against the 95th percentile around it, (…)."""
    offset = np.abs(wavelength_nm - centre)
    inside, around = offset < WIDTH_NM, offset < AROUND_NM
    if not inside.any():
        return np.full(flux.shape[:-1], np.nan)
    level = np.percentile(flux[..., around], 95, axis=-1, keepdims=True)
    missing = 1 - flux[..., inside] / level
    return np.asarray(np.trapezoid(missing, 10 * wavelength_nm[inside], axis=-1))


def lowest_top(flux: np.ndarray, wavelength_nm: np.ndarray) -> np.ndarray:
    """Return the lowest of the 99th percentiles of all stretches of 10 nm, (…)."""
    starts = np.arange(np.ceil(wavelength_nm[0]), wavelength_nm[-1] - STRETCH_NM, STRETCH_NM)
    edges = np.searchsorted(wavelength_nm, [starts, starts + STRETCH_NM]).T
    tops = [np.percentile(flux[..., low:high], 99, axis=-1) for low, high in edges]
    return np.min(tops, axis=0) if tops else np.full(flux.shape[:-1], np.nan)


def line_offset(
    flux: np.ndarray, wavelength_nm: np.ndarray, line: str, half_nm: float
) -> np.ndarray:
    """Return where the lowest flux near a line lies, from its vacuum wavelength (nm), (…)."""
    near = np.flatnonzero(np.abs(wavelength_nm - LINES[line]) < half_nm)
    if not len(near):
        return np.full(flux.shape[:-1], np.nan)
    lowest = wavelength_nm[near][flux[..., near].argmin(axis=-1)] - LINES[line]
    return np.where(np.isnan(flux[..., near]).any(axis=-1), np.nan, lowest)


def _mean(flux: np.ndarray, wavelength_nm: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = (wavelength_nm > low) & (wavelength_nm < high)
    is_covered = wavelength_nm[0] <= low and wavelength_nm[-1] >= high
    return flux[..., inside].mean(axis=-1) if is_covered else np.full(flux.shape[:-1], np.nan)


def _in_vacuum(band: tuple[float, float]) -> np.ndarray:
    return air_to_vacuum(np.array(band))
