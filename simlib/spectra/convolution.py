"""Finer lines brought to a network's: a Gaussian whose sigma is the difference in quadrature.

The curve through the old pixels (cubics, which keep the width of lines) is read off at even points
that hold the centres of the new pixels, and summed there with Gaussian weights: to rounding the
convolution itself, however the old pixels lie. A spectrum's own lines hold its own pixel already,
and those of the network the new one, so that no box of a pixel comes in.
"""

import numpy as np
from scipy.sparse import csr_array

from simlib.units import FWHM_PER_SIGMA

LEAST_FINER = 1.05  # resolution over the network's from which on a spectrum is convolved
REACH = 3.0  # sigmas on either side that must have been observed
_SUMMED = 5.0  # sigmas that are summed where they were
_POINTS = 4  # that a cubic goes through
_MOST_SHARES = 64  # points in a new pixel


def kernel_sigma(
    wavelength: np.ndarray, lsf_sigma: np.ndarray, resolution: float | None
) -> np.ndarray | None:
    """Return the sigma (pixels,), nm, that is missing to lines of `lsf_sigma`; None where none is.

    wavelength: (pixels,), nm. resolution: of the spectrum, FWHM; None where it is not known.
    """
    if resolution is None:
        return None
    own = wavelength / (FWHM_PER_SIGMA * resolution)
    if not np.median(lsf_sigma / own) > LEAST_FINER:
        return None
    return np.asarray(np.sqrt(np.maximum(np.square(lsf_sigma) - np.square(own), 0.0)))


def cubics(old: np.ndarray, wanted: np.ndarray) -> csr_array:
    """Return (wanted, old) shares of the polynomial through the four old pixels around a place."""
    points = min(_POINTS, old.size)
    first = np.searchsorted(old, wanted) - points // 2
    near = np.clip(first, 0, old.size - points)[:, np.newaxis] + np.arange(points)
    at = old[near]
    shares = np.ones(near.shape)
    for one in range(points):
        for other in range(points):
            if one != other:
                shares[:, one] *= (wanted - at[:, other]) / (at[:, one] - at[:, other])
    rows = np.repeat(np.arange(wanted.size), points)
    return csr_array((shares.ravel(), (rows, near.ravel())), shape=(wanted.size, old.size))


def convolution(
    old: np.ndarray, new: np.ndarray, sigma: np.ndarray, inside: np.ndarray
) -> csr_array:
    """Return (new, old) shares of old pixels in new ones behind a Gaussian; a row sums to 1, or 0.

    old: increasing. new: even. sigma: (new,), nm, 0 where lines are as wide already. inside: the
    rows to fill.
    """
    pitch = (new[-1] - new[0]) / (new.size - 1)
    rows = np.flatnonzero(inside)
    if not rows.size:
        return csr_array((new.size, old.size))
    within = (old >= new[0]) & (old <= new[-1])
    finest = min(0.5 * float(np.median(np.diff(old[within]))) if within.sum() > 1 else pitch, pitch)
    each = int(np.clip(np.ceil(pitch / finest), _POINTS, _MOST_SHARES))
    step = pitch / each
    reach = int(np.ceil(_SUMMED * float(sigma.max()) / step)) + 1
    points = new[0] + step * np.arange(-reach, each * (new.size - 1) + reach + 1)
    known = np.flatnonzero((points >= old[0]) & (points <= old[-1]))
    beside = np.arange(-reach, reach + 1)
    width = np.maximum(sigma[rows], 1e-3 * step)[:, np.newaxis]
    weight = np.exp(-0.5 * np.square(step * beside / width))
    place = reach + each * rows[:, np.newaxis] + beside
    weight[(place < known[0]) | (place > known[-1])] = 0.0
    weight /= weight.sum(axis=1, keepdims=True)
    row, column = np.nonzero(weight)
    spread = csr_array(
        (weight[row, column], (rows[row], place[row, column] - known[0])),
        shape=(new.size, known.size),
    )
    return csr_array(spread @ cubics(old, points[known]))
