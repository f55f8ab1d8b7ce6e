"""Redshifts that a scan is not sure of, with the spectrum's own weights and all components.

The scan looks a pixel apart, with a few components in a noise of the mean shape. Where its error is
a good part of a pixel, two steps of Newton's method on the likelihood follow, from which the
coefficients are integrated out. With d the change of the curve by the redshift, B the components, W
the weights, r what the most probable curve leaves, and A = 1 / eigenvalues + B' W B,

    step = d' W r / (d' W d - d' W B A^-1 B' W d)

Spectra that need it are noisy: the inverse for the mean weights is taken for A^-1.
"""

from dataclasses import replace

import numpy as np

from trainlib.rest.frame import RestFrame, weights_of
from trainlib.rest.scan import Redshifts

_UNSURE = 0.25  # pixels, of the error from which on
_STEPS = 2
_LONGEST = 1.5  # pixels
_LEAST = 0.02  # of the information about the redshift that is left by what coefficients can do


def refined(
    frame: RestFrame, flux: np.ndarray, variance: np.ndarray, found: Redshifts
) -> Redshifts:
    """Return the redshifts of spectra (rows, pixels), those that are not sure by steps from there.

    flux: finite. variance: infinite where a pixel is masked.
    """
    pixel = frame.axis.pixel_redshift
    rows = np.flatnonzero(found.error > _UNSURE * pixel)
    if not len(rows):
        return found
    low, high = frame.statistics.redshifts
    seen, noise, redshift = flux[rows], variance[rows], found.redshift.copy()
    for _ in range(_STEPS):
        moved = redshift[rows] + pixel * _step(frame, seen, noise, redshift[rows])
        redshift[rows] = np.clip(moved, low - 2.0 * pixel, high + 2.0 * pixel)
    return replace(found, redshift=redshift)


def _step(
    frame: RestFrame, flux: np.ndarray, variance: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    """Return Newton's step (rows,), in pixels."""
    axis, told = frame.axis, frame.statistics
    weight, level = weights_of(variance)

    def pulled(values: np.ndarray) -> np.ndarray:
        return np.asarray(axis.scatter(values, redshift) @ told.vectors.T)

    def solved(right: np.ndarray) -> np.ndarray:
        return frame.solution(right, weight, level, redshift, steps=0)

    solution = solved(pulled(weight * (flux - axis.gather(told.mean[np.newaxis], redshift))))
    curves = solution @ told.vectors + told.mean
    behind, before = (axis.gather(curves, redshift + way * axis.pixel_redshift)
                      for way in (0.5, -0.5))  # fmt: skip
    change, residual = behind - before, weight * (flux - axis.gather(curves, redshift))
    along = pulled(weight * change)
    hidden = solved(along)
    information = (weight * np.square(change)).sum(axis=1)
    left = information - (along * hidden).sum(axis=1)
    left = np.maximum(left, np.maximum(_LEAST * information, np.float32(1e-30)))
    # the solution is not quite the most probable: what pulls at it counts too
    pull = pulled(residual) - np.square(level)[:, np.newaxis] * solution / told.eigenvalues
    step = ((change * residual).sum(axis=1) - (hidden * pull).sum(axis=1)) / left
    return np.asarray(np.clip(step, -_LONGEST, _LONGEST), dtype=float)
