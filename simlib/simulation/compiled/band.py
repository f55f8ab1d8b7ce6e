"""Counts in the band that magnitudes are given in, of every node, at any redshift and reddening.

Counts are linear in the node's spectrum. Over redshift they are tabulated: the band's response has
kinks, which lines cross, so that no short series follows them. Dust is smooth: taken out is what it
dims in the middle of the band, and what is left varies little, so that a few reddenings suffice
for all that a star may have.
"""

from math import factorial

import numpy as np
from numpy.polynomial import chebyshev

from simlib import dust, photometry
from simlib.config import LARGEST_EBV, Stellar
from simlib.simulation.compiled.matrix_products import row_products
from simlib.units import LN_PER_MAGNITUDE

_REDSHIFT_STEP = 6.25e-5  # between tabulated places, a good pixel
_REDSHIFT_TAPS = 4  # places that a cubic goes through
_EBV_ERROR = 5e-7  # that interpolation over reddening may leave of light at the band's edges


def redshift_places(limits: tuple[float, float] | np.ndarray) -> np.ndarray:
    """Return the even redshifts that counts are tabulated at."""
    steps = max(int(np.ceil((limits[1] - limits[0]) / _REDSHIFT_STEP)), _REDSHIFT_TAPS - 1)
    step = max((limits[1] - limits[0]) / steps, 0.01 * _REDSHIFT_STEP)
    return np.asarray(limits[0] + step * np.arange(steps + 1))


def reddening_places(count: int) -> np.ndarray:
    """Return the reddenings that counts are tabulated at, over all that a star may have."""
    return np.asarray(0.5 * LARGEST_EBV * (1.0 + chebyshev.chebpts1(count)))


def extinction_over(band: photometry.Band, r_v: float) -> tuple[float, float]:
    """Return the middle of the extinction over a band, and its half range, mag per E(B-V)."""
    curve = dust.extinction_curve(band.wavelength_nm[band.response > 0.0], r_v)
    return 0.5 * float(curve.max() + curve.min()), 0.5 * float(np.ptp(curve))


def _reddenings(half_range: float) -> int:
    """Return how many places hold exponentials of up to the half range, at half the reddening."""
    exponent, count = 0.5 * LARGEST_EBV * -LN_PER_MAGNITUDE * half_range, 1
    while 2.0 * (0.5 * exponent) ** count / factorial(count) > _EBV_ERROR:
        count += 1
    return count


def band_weights(
    wavelength: np.ndarray, band: photometry.Band, stellar: Stellar
) -> tuple[np.ndarray, np.ndarray]:
    """Return what samples (w,) and paddings beyond both ends weigh: (w, k) and (2, k).

    The k columns are reddenings within redshifts, less the dimming in the middle of the band.
    Raises InputError where the templates miss the band.
    """
    low, high = stellar.redshift
    photometry.require_coverage(band, wavelength[0] * (1.0 + high), wavelength[-1] * (1.0 + low))
    middle, half_range = extinction_over(band, stellar.r_v)
    redshifts = redshift_places(stellar.redshift)
    reddenings = reddening_places(_reddenings(half_range))
    columns = np.zeros((len(wavelength), len(redshifts), len(reddenings)))
    ends = np.empty((2, *columns.shape[1:]))
    for number, redshift in enumerate(redshifts):
        observed = wavelength * (1.0 + redshift)
        weights, below, above = photometry.sample_weights(band, observed)
        seen = np.concatenate([[0], np.flatnonzero(weights), [-1]])  # both ends, the band between
        curve = dust.extinction_curve(observed[seen], stellar.r_v) - middle
        dimming = np.exp(LN_PER_MAGNITUDE * np.multiply.outer(curve, reddenings))
        columns[seen[1:-1], number] = weights[seen[1:-1], np.newaxis] * dimming[1:-1]
        ends[:, number] = np.reshape([below, above], (2, 1)) * dimming[[0, -1]]
    return columns.reshape(len(wavelength), -1), ends.reshape(2, -1)


def band_table(
    flux: np.ndarray, continuum: np.ndarray, weights: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Return the table's rows (n, k) of spectra (n, w) whose band is padded with the continuum."""
    held = np.flatnonzero(weights.any(axis=1))
    band = slice(held[0], held[-1] + 1)
    out = np.zeros((len(flux), weights.shape[1]))
    row_products(np.ascontiguousarray(flux[:, band]), weights[band], out)
    return np.asarray(out + continuum[:, [0]] * ends[0] + continuum[:, [-1]] * ends[1])


def band_basis(
    redshift: np.ndarray, ebv: np.ndarray, redshifts: np.ndarray, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the table's first column for each row, (n,), and the weights from there on, (n, m).

    redshifts: (2,), the range that the table of so many columns was made for.
    """
    places = redshift_places(redshifts)
    count = columns // len(places)
    position = (redshift - places[0]) / (places[1] - places[0])
    first = np.clip(np.floor(position) - (_REDSHIFT_TAPS // 2 - 1), 0, len(places) - _REDSHIFT_TAPS)
    along = _through_points(position - first, np.arange(_REDSHIFT_TAPS))
    across = _through_points(ebv, reddening_places(count))
    weights = along[:, :, np.newaxis] * across[:, np.newaxis]
    return first.astype(np.int64) * count, weights.reshape(len(redshift), -1)


def _through_points(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the weights (n, points) of the polynomial through points at places (n,)."""
    weights = np.ones((len(place), len(points)))
    for number, one in enumerate(points):
        for other in np.delete(points, number):
            weights[:, number] *= (place - other) / (one - other)
    return weights
