"""What the flag of a denoised pixel says, as bits; 0: the pixel was seen and is as expected."""

import numpy as np

from simlib.spectra.observed import usable_pixels

OUTSIDE = 1  # beyond the wavelengths that the network knows: no denoised flux
MASKED = 2  # rejected by the file's mask; the denoised flux rests on other pixels
UNUSABLE = 4  # flux or variance is no number, or the variance is not positive; likewise
SUSPECT = 8  # five sigma from the denoised flux: a cosmic ray, a line of the sky, or real

MEANING = {
    OUTSIDE: "outside the network's wavelengths",
    MASKED: "rejected by the mask",
    UNUSABLE: "flux or variance not usable",
    SUSPECT: "5 sigma from the denoised flux",
}
_SUSPECT_SIGMA = 5.0


def is_far(
    flux: np.ndarray, variance: np.ndarray, made: np.ndarray, error: np.ndarray
) -> np.ndarray:
    """Return where a flux is so far from what was made of it; all (rows, pixels)."""
    with np.errstate(over="ignore", invalid="ignore"):  # then a pixel is as far off as can be
        width = variance + np.square(error, dtype=float)
        return np.asarray(
            np.square(np.subtract(flux, made, dtype=float)) > _SUSPECT_SIGMA**2 * width
        )


def flagged(
    flux: np.ndarray, variance: np.ndarray, mask: np.ndarray, made: np.ndarray, far: np.ndarray
) -> np.ndarray:
    """Return the flag of each pixel. made: NaN beyond the network. far: see `is_far`.

    All are (rows, pixels).
    """
    is_lost = ~(usable_pixels(flux, variance, mask) | mask)
    flag: np.ndarray = np.multiply(~np.isfinite(made), OUTSIDE, dtype=np.int32)
    flag |= np.multiply(mask, MASKED, dtype=np.int32)
    flag |= np.multiply(is_lost, UNUSABLE, dtype=np.int32)
    flag |= np.multiply(far & (flag == 0), SUSPECT, dtype=np.int32)
    return flag
