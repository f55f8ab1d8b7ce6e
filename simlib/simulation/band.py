"""Counts in the band that magnitudes are given in, of every node, at any redshift and reddening.

Counts are linear in the node's spectrum. Over redshift they are tabulated: the band's response has
kinks, which lines cross, so that no short series follows them. Dust is smooth: over reddening they
are a short Chebyshev series.
"""

import numpy as np
from numpy.polynomial import chebyshev

from simlib import dust, photometry
from simlib.config import Stellar
from simlib.simulation.matrix_products import row_products

_REDSHIFT_STEP = 6.25e-5  # between tabulated places, a good pixel
_REDSHIFT_TAPS = 4  # places that a cubic goes through
_EBV_ORDER = 4  # Chebyshev terms over the usual range, more over a wider one
_USUAL_EBV = 0.1


def redshift_places(limits: tuple[float, float] | np.ndarray) -> np.ndarray:
    """Return the even redshifts that counts are tabulated at."""
    steps = max(int(np.ceil((limits[1] - limits[0]) / _REDSHIFT_STEP)), _REDSHIFT_TAPS - 1)
    step = max((limits[1] - limits[0]) / steps, 0.01 * _REDSHIFT_STEP)
    return np.asarray(limits[0] + step * np.arange(steps + 1))


def _ebv_order(limits: tuple[float, float] | np.ndarray) -> int:
    wider = max(1.0, float(limits[1] - limits[0]) / _USUAL_EBV)
    return _EBV_ORDER + int(np.round(2.0 * np.log2(wider)))


def band_weights(
    wavelength: np.ndarray, band: photometry.Band, stellar: Stellar
) -> tuple[np.ndarray, np.ndarray]:
    """Return what samples (w,) and paddings beyond both ends weigh: (w, k) and (2, k).

    The k columns are Chebyshev terms of reddening within tabulated redshifts. Raises InputError
    where the templates miss the band.
    """
    low, high = stellar.redshift
    photometry.require_coverage(band, wavelength[0] * (1.0 + high), wavelength[-1] * (1.0 + low))
    order = _ebv_order(stellar.ebv)
    points = chebyshev.chebpts1(order)
    to_terms = np.linalg.inv(chebyshev.chebvander(points, order - 1)).T
    reddening = stellar.ebv[0] + 0.5 * (stellar.ebv[1] - stellar.ebv[0]) * (1.0 + points)
    columns, ends = [], []
    for redshift in redshift_places(stellar.redshift):
        observed = wavelength * (1.0 + redshift)
        weights, below, above = photometry.sample_weights(band, observed)
        curve = dust.extinction_curve(observed, stellar.r_v)
        dimming = 10.0 ** (-0.4 * np.outer(curve, reddening))
        # einsum, not a matrix product: its bits do not depend on the number of threads.
        dimming = np.einsum("we,et->wt", dimming, to_terms)
        columns.append(weights[:, np.newaxis] * dimming)
        ends.append(np.stack([below * dimming[0], above * dimming[-1]]))
    return np.concatenate(columns, axis=1), np.concatenate(ends, axis=1)


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
    redshift: np.ndarray, ebv: np.ndarray, redshifts: np.ndarray, reddenings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the table's first column for each row, (n,), and the weights from there on, (n, m).

    redshifts, reddenings: (2,), the ranges that the table was made for.
    """
    places, order = redshift_places(redshifts), _ebv_order(reddenings)
    position = (redshift - places[0]) / (places[1] - places[0])
    first = np.clip(np.floor(position) - (_REDSHIFT_TAPS // 2 - 1), 0, len(places) - _REDSHIFT_TAPS)
    along = _through_points(position - first)
    half = 0.5 * (reddenings[1] - reddenings[0])
    scaled = np.zeros_like(ebv) if half == 0.0 else (ebv - reddenings[0]) / half - 1.0
    across = chebyshev.chebvander(scaled, order - 1)
    weights = along[:, :, np.newaxis] * across[:, np.newaxis]
    return first.astype(np.int64) * order, weights.reshape(len(redshift), -1)


def _through_points(place: np.ndarray) -> np.ndarray:
    """Return the weights (n, points) of the polynomial through points 0, 1, 2, ... at places."""
    points = np.arange(_REDSHIFT_TAPS)
    weights = np.ones((len(place), len(points)))
    for one in points:
        for other in np.delete(points, one):
            weights[:, one] *= (place - other) / (one - other)
    return weights
