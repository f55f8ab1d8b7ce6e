"""What the flag of a denoised pixel says, as bits; 0: the pixel was seen and is as expected."""

import numpy as np

from simlib.spectra.observed import Observed

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
    """Return where a flux is so far from what was made of it; all (pixels,)."""
    with np.errstate(
        over="ignore", divide="ignore", invalid="ignore"
    ):  # then a pixel is as far off as can be
        width = np.hypot(np.sqrt(variance), error)
        return np.asarray(np.abs(flux - made) / width > _SUSPECT_SIGMA)


def flagged(observed: Observed, made: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Return the flag of each pixel. made: NaN beyond the network. far: see `is_far`; (pixels,)."""
    flag = np.where(np.isfinite(made), 0, OUTSIDE).astype(np.int32)
    flag |= np.where(observed.mask, MASKED, 0).astype(np.int32)
    flag |= np.where(observed.is_usable | observed.mask, 0, UNUSABLE).astype(np.int32)
    flag[(flag == 0) & far] |= SUSPECT
    return flag
