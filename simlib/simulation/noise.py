"""The variance of a stack of exposures, and its signal-to-noise ratio (paper, section 2.2).

All counts are electrons per pixel for one exposure; all exposures are taken to be alike.
"""

import numpy as np
import xarray as xr

from simlib.config import Noise

PHOTON_TERMS = ("sky_continuum_e", "sky_lines_e", "moon_e", "stray_e", "dark_e")
SKY_TERMS = ("sky_continuum_e", "sky_lines_e", "moon_e")


def exposure_counts(parameters: xr.Dataset, usual: int) -> np.ndarray:
    """Return the exposures of each row's stack, (n,): the rows' own number where they have one."""
    given = parameters["exposure_count"].values if "exposure_count" in parameters else usual
    counts = np.broadcast_to(given, (parameters.sizes["spectrum"],))
    return np.array(counts, dtype=float)


def stack_variance(
    flux: np.ndarray, terms: xr.Dataset, noise: Noise, counts: np.ndarray | int
) -> np.ndarray:
    """Return the variance of the mean flux of a stack of exposures.

    flux: (n, pixels), the source in the unit that `conversion_e` is for. terms: the exposure time
    calculator's terms of the same rows. counts: exposures, (n,) or one for all. Returns
    (n, pixels), in the square of the flux's unit.

    The sky-subtraction error is a fraction of the brightest sky of the pixel and its neighbours. It
    is the same in every exposure by default, and then does not average out.
    """
    count = np.reshape(counts, (-1, 1))
    conversion = rows_of(terms["conversion_e"])
    photons = conversion * flux + sum(rows_of(terms[name]) for name in PHOTON_TERMS)
    electrons = count * (photons * rows_of(terms["sample_factor"])
                         + rows_of(terms["read_variance_e2"]))  # fmt: skip
    sky = brightest_neighbour(np.asarray(sum(rows_of(terms[name]) for name in SKY_TERMS)))
    repeats = count**2 if noise.sky_subtraction_coherent else count
    electrons = electrons + repeats * (noise.sky_subtraction * sky) ** 2
    margin = rows_of(terms["variance_margin"])  # 1 but where a tool's convention adds to all noise
    return np.asarray(margin * electrons / (count * conversion) ** 2)


def rows_of(term: xr.DataArray) -> np.ndarray:
    """Return a term as an array that broadcasts to (rows, pixels)."""
    if "wavelength" in term.dims:
        return np.asarray(term.transpose(..., "wavelength").values)
    return np.asarray(term.values[..., np.newaxis])


def brightest_neighbour(sky: np.ndarray) -> np.ndarray:
    """Return the largest sky among each pixel and its two neighbours, same shape."""
    largest = sky.copy()
    largest[..., 1:] = np.maximum(largest[..., 1:], sky[..., :-1])
    largest[..., :-1] = np.maximum(largest[..., :-1], sky[..., 1:])
    return largest


def signal_to_noise(flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the median over pixels of flux / sqrt(variance), shape (n,)."""
    return np.asarray(np.median(flux / np.sqrt(variance), axis=-1))
