"""The variance of a stack of exposures (paper, section 2.2), of the calculator and the simulator.

All counts are electrons per pixel for one exposure; all exposures are taken to be alike.
"""

import numpy as np
import xarray as xr

from simlib.config import Noise

SKY_TERMS = ("sky_continuum_e", "sky_lines_e", "moon_e")  # what sky subtraction takes away
PHOTON_TERMS = (*SKY_TERMS, "stray_e", "dark_e")


def stack_variance(
    terms: xr.Dataset, source_e: xr.DataArray | float, is_coherent: bool = True
) -> xr.DataArray:
    """Return the variance of the sum of `exposure_count` read-outs, electron2.

    terms: the calculator's, with `exposure_count` and `sky_subtraction_variance_e2`. source_e:
    electrons of the target in one exposure. is_coherent: the error of sky subtraction is the same
    in every exposure, and does not average out.
    """
    count = terms["exposure_count"]
    photons = source_e + sum(terms[name] for name in PHOTON_TERMS)
    electrons = count * (photons * terms["sample_factor"] + terms["read_variance_e2"])
    repeats = count**2 if is_coherent else count
    error = repeats * terms["sky_subtraction_variance_e2"]
    return (electrons + error) * terms["variance_margin"]


def flux_variance(
    flux: np.ndarray, terms: xr.Dataset, noise: Noise, counts: np.ndarray | int
) -> np.ndarray:
    """Return the variance of the mean flux of a stack of exposures.

    flux: (n, pixels), the source in the unit that `conversion_e` is for. terms: of the same rows.
    noise: takes the place of the terms' own sky subtraction. counts: exposures, (n,) or one for
    all. Returns (n, pixels), in the square of the flux's unit.
    """
    dims = terms["conversion_e"].dims
    sky = sum(terms[name] for name in SKY_TERMS)
    error = subtraction_variance(np.asarray(sky), noise.sky_subtraction)
    stack = terms.assign(
        exposure_count=(dims[:1], np.broadcast_to(counts, len(flux)).astype(float)),
        sky_subtraction_variance_e2=(dims, error),
    )
    source = stack["conversion_e"] * xr.DataArray(flux, dims=dims)
    electrons = stack_variance(stack, source, noise.sky_subtraction_coherent)
    variance = electrons / (stack["exposure_count"] * stack["conversion_e"]) ** 2
    return np.asarray(variance.transpose(*dims))


def subtraction_variance(
    sky: np.ndarray, share: float, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the variance that sky subtraction leaves in one exposure, electron2, same shape.

    sky: electrons, (…, pixel). share: error of the brightest sky of a pixel and its neighbours.
    out: where to put it.
    """
    error = brightest_neighbour(sky, out)
    error *= share
    return np.asarray(np.square(error, out=error))


def brightest_neighbour(sky: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the largest sky among each pixel and its two neighbours, same shape; into `out`."""
    largest = np.empty_like(sky) if out is None else out
    largest[..., :1] = sky[..., :1]
    np.maximum(sky[..., 1:], sky[..., :-1], out=largest[..., 1:])
    np.maximum(largest[..., :-1], sky[..., 1:], out=largest[..., :-1])
    return largest


def exposure_counts(parameters: xr.Dataset, usual: int) -> np.ndarray:
    """Return the exposures of each row's stack, (n,): the rows' own number where they have one."""
    given = parameters["exposure_count"].values if "exposure_count" in parameters else usual
    counts = np.broadcast_to(given, (parameters.sizes["spectrum"],))
    return np.array(counts, dtype=float)


def median_signal_to_noise(flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the median over pixels of flux / sqrt(variance), shape (n,)."""
    return np.asarray(np.median(flux / np.sqrt(variance), axis=-1))
