"""The compiled loops of a fit, one spectrum after the other; see `generator` and `problem`."""

import numpy as np

from simlib.jit import njit
from simlib.simulation.compiled.kernel import OPTIONS, dim, sample
from simlib.simulation.compiled.median import two_middles

_NEAR_MEDIAN = np.float32(0.005)  # of it, relative: pixels that move with the median
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


@njit(**OPTIONS)
def look_rows(
    curves, first, redshift, step, shift, excess, ramp, widening, displacement, curve, largest,
    per_ebv, ebv, window, median, flux, slopes,
):  # fmt: skip
    """Fill `flux` (rows, pixels), normalised, and `slopes` (rows, directions, pixels).

    curves: (rows, 1 + axes, points), a star and its derivatives along the grid's axes. first:
    (rows, 3), the place of pixel 0 at the redshift, a step below and a step above. per_ebv:
    times ebv and `curve`, the exponent of the dust. What follows the axes in `slopes` is the
    redshift and the reddening; without slopes, only flux is made.
    """
    pixels, axes = flux.shape[1], curves.shape[1] - 1
    darker = np.float32(per_ebv)
    dust, scratch = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    for row in range(len(flux)):
        out, z = flux[row], redshift[row]
        dust[:] = _ONE
        dim(curve, largest, per_ebv * ebv[row], scratch, dust)
        sample(
            curves[row, 0], first[row, 0], z, shift[row], excess[row], ramp, widening,
            displacement, out,
        )  # fmt: skip
        for i in range(pixels):
            out[i] *= dust[i]
        low, high = two_middles(out[window[0] : window[1]], scratch)
        middle = np.float32(0.5) * (low + high)
        unit = np.float32(median) / middle
        for axis in range(axes if slopes.shape[1] else 0):
            sample(
                curves[row, 1 + axis], first[row, 0], z, shift[row], excess[row], ramp, widening,
                displacement, slopes[row, axis],
            )  # fmt: skip
        if slopes.shape[1]:
            above = slopes[row, axes]
            sample(
                curves[row, 0], first[row, 2], z + step, shift[row], excess[row], ramp, widening,
                displacement, above,
            )  # fmt: skip
            sample(
                curves[row, 0], first[row, 1], z - step, shift[row], excess[row], ramp, widening,
                displacement, scratch,
            )  # fmt: skip
            inverse = np.float32(0.5 / step)
            for i in range(pixels):
                above[i] = (above[i] - scratch[i]) * inverse
            for direction in range(axes + 1):
                change = slopes[row, direction]
                for i in range(pixels):
                    change[i] *= dust[i]
            reddening = slopes[row, axes + 1]
            for i in range(pixels):
                reddening[i] = darker * curve[i] * out[i]
            _normalise_slopes(out, middle, window, unit, slopes[row])
        for i in range(pixels):
            out[i] *= unit


@njit(**OPTIONS)
def _normalise_slopes(values, middle, window, unit, slopes):
    """Turn derivatives of values into those of values x unit, which holds their median.

    The median changes as the pixels near it do, all taken together.
    """
    reach = _NEAR_MEDIAN * abs(middle)
    for direction in range(len(slopes)):
        change = slopes[direction]
        total, count = _ZERO, _ZERO
        for i in range(window[0], window[1]):
            weight = _ONE if abs(values[i] - middle) <= reach else _ZERO
            total += weight * change[i]
            count += weight
        of_median = total / (max(count, _ONE) * middle)
        for i in range(len(values)):
            change[i] = unit * (change[i] - of_median * values[i])


@njit(**OPTIONS)
def residual_rows(flux, smooth, offset, noisy, inverse_sigma, spectra, residual):
    """Fill `spectra` and weighted `residual`, (rows, pixels): flux x smooth + offset is seen.

    smooth: what modes add to 1; it becomes what the flux is multiplied by.
    """
    for row in range(len(flux)):
        for i in range(flux.shape[1]):
            smooth[row, i] += _ONE
            made = flux[row, i] * smooth[row, i] + offset[row]
            spectra[row, i] = made
            residual[row, i] = (noisy[row, i] - made) * inverse_sigma[row, i]


@njit(**OPTIONS)
def direction_rows(
    flux, slopes, smooth, units, modes, offset_unit, inverse_sigma, places, directions
):  # fmt: skip
    """Put weighted changes with a unit of each unknown into rows `places` of `directions`.

    directions: (…, unknowns, pixels): stars first, then the modes that multiply, then the offset.
    """
    stars, smooths = slopes.shape[1], len(modes)
    scratch = np.empty(flux.shape[1], np.float32)
    for row in range(len(flux)):
        weight, out = inverse_sigma[row], directions[places[row]]
        for i in range(flux.shape[1]):
            scratch[i] = smooth[row, i] * weight[i]
        for star in range(stars):
            change, unit = slopes[row, star], units[star]
            for i in range(flux.shape[1]):
                out[star, i] = unit * change[i] * scratch[i]
        for i in range(flux.shape[1]):
            scratch[i] = flux[row, i] * weight[i]
        for mode in range(smooths):
            for i in range(flux.shape[1]):
                out[stars + mode, i] = modes[mode, i] * scratch[i]
        for i in range(flux.shape[1]):
            out[stars + smooths, i] = offset_unit * weight[i]
