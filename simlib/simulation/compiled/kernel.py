"""The compiled loops over pixels, one spectrum after the other; `reordering.md` derives them.

Everything is float32, in a fixed order, and sees one spectrum only: a row's bits do not depend on
the rows beside it. The loops hold no lock of Python, so that threads may run them side by side.
"""

from math import factorial, floor
from typing import Any

import numpy as np

from simlib.jit import njit
from simlib.simulation.compiled.median import two_middles
from simlib.simulation.compiled.taps import PAIRS, WEIGHTS

ROWS_TOGETHER = 4  # of the tables: loops walk them in fours, which `in_fours` makes
_SMALL_EXPONENT, _LARGEST_EXPONENT = 0.09, 0.5  # that the polynomials of the exponential hold to
# No reassociation: sums keep their order. No check of divisions, which would stop vectorisation.
OPTIONS: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"},
}  # fmt: skip

# Even powers multiply the sum of two taps that mirror each other, odd ones the difference.
_TAP = tuple(tuple(np.float32(weight) for weight in row) for row in WEIGHTS)
_EXP = tuple(np.float32(1.0 / factorial(power)) for power in range(9))
_THREE, _FIVE, _SIX, _TEN = np.float32(3.0), np.float32(5.0), np.float32(6.0), np.float32(10.0)


def in_fours(values: np.ndarray) -> np.ndarray:
    """Return row numbers or their weights (spectra, places) as (spectra, fours, 4), zero-filled."""
    spectra, places = values.shape
    fours = -(-places // ROWS_TOGETHER)
    filled = np.zeros((spectra, fours * ROWS_TOGETHER), dtype=values.dtype)
    filled[:, :places] = values
    return filled.reshape(spectra, fours, ROWS_TOGETHER)


@njit(**OPTIONS)
def add_rows(a, b, c, d, weights, out):
    """Add four weighted rows to `out`."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] += wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i])


@njit(**OPTIONS)
def _put_rows(a, b, c, d, weights, out):
    """Put four weighted rows into `out`."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] = wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i])


@njit(**OPTIONS)
def _of_pairs(row, p0, p1, p2):
    return row[0] * p0 + (row[1] * p1 + row[2] * p2)


@njit(**OPTIONS)
def _sample_run(even, odd, ramp, start, slope, redshift, shift, excess, w0, w1, displacement, out):
    """Evaluate and widen the curve at pixels that advance by two points, less a little, each.

    even, odd: coefficients that taps 0, 2, 4 and 1, 3, 5 of the first pixel begin with.
    start + slope x pixel: fraction - 1/2. shift: what the displacement is multiplied by.
    """
    for i in range(len(out)):
        t = start + slope * ramp[i] + shift * displacement[i]
        s0, m0 = even[i] + odd[i + 2], even[i] - odd[i + 2]
        s1, m1 = odd[i] + even[i + 2], odd[i] - even[i + 2]
        s2, m2 = even[i + 1] + odd[i + 1], even[i + 1] - odd[i + 1]
        d0, d1 = _of_pairs(_TAP[0], s0, s1, s2), _of_pairs(_TAP[1], m0, m1, m2)
        d2, d3 = _of_pairs(_TAP[2], s0, s1, s2), _of_pairs(_TAP[3], m0, m1, m2)
        d4, d5 = _of_pairs(_TAP[4], s0, s1, s2), _of_pairs(_TAP[5], m0, m1, m2)
        # The mean of the polynomial over places about t, whose second and fourth moments are:
        second = redshift * (w0[i] + redshift * w1[i])
        fourth = excess + _THREE * second * second
        e0 = d0 + (second * d2 + fourth * d4)
        e1 = d1 + (_THREE * second * d3 + _FIVE * fourth * d5)
        e2, e3 = d2 + _SIX * second * d4, d3 + _TEN * second * d5
        out[i] = e0 + t * (e1 + t * (e2 + t * (e3 + t * (d4 + t * d5))))


@njit(**OPTIONS)
def sample(spectrum, first, redshift, shift, excess, ramp, widening, displacement, out):
    """Evaluate the curve at all pixels, in runs over which the whole part advances by two.

    first: place of pixel 0, in points. A run may end a pixel early or late: the polynomial goes on
    smoothly over a tiny distance.
    """
    points, pixels = len(spectrum) // 2, len(out)
    w0, w1 = widening[0], widening[1]
    step = 2.0 / (1.0 + redshift)
    begin = 0
    while begin < pixels:
        place = first + step * begin
        whole = floor(place)
        fraction = place - whole
        slope = step - 2.0
        end = pixels
        if slope < 0.0:
            end = min(pixels, begin + 1 + int(fraction / -slope))
        elif slope > 0.0:
            end = min(pixels, begin + 1 + int((1.0 - fraction) / slope))
        tap = whole - (PAIRS - 1)
        half = tap // 2
        if tap % 2 == 0:
            even, odd = spectrum[half:points], spectrum[points + half :]
        else:
            even, odd = spectrum[points + half :], spectrum[half + 1 : points]
        _sample_run(
            even, odd, ramp, np.float32(fraction - 0.5), np.float32(slope), np.float32(redshift),
            np.float32(shift), np.float32(excess), w0[begin:end], w1[begin:end],
            displacement[begin:end], out[begin:end],
        )  # fmt: skip
        begin = end


@njit(**OPTIONS)
def _exp(x):
    return _EXP[0] + x * (_EXP[1] + x * (_EXP[2] + x * (_EXP[3] + x * _EXP[4])))


@njit(**OPTIONS)
def _exp_of_more(x):
    high = _EXP[5] + x * (_EXP[6] + x * (_EXP[7] + x * _EXP[8]))
    return _EXP[0] + x * (_EXP[1] + x * (_EXP[2] + x * (_EXP[3] + x * (_EXP[4] + x * high))))


@njit(**OPTIONS)
def dim(curve, largest, factor, scratch, out):
    """Multiply `out` by exp(factor x curve), |curve| <= largest.

    A polynomial for small exponents, a longer one for others; those that are larger still are
    halved until it holds, and squared back.
    """
    exponent = abs(factor) * largest
    if exponent <= _SMALL_EXPONENT:
        part = np.float32(factor)
        for i in range(len(out)):
            out[i] *= _exp(part * curve[i])
        return
    squarings = 0
    while exponent > _LARGEST_EXPONENT * 2.0**squarings:
        squarings += 1
    part = np.float32(factor / 2.0**squarings)
    for i in range(len(out)):
        scratch[i] = _exp_of_more(part * curve[i])
    for _ in range(squarings):
        for i in range(len(out)):
            scratch[i] *= scratch[i]
    for i in range(len(out)):
        out[i] *= scratch[i]


@njit(**OPTIONS)
def band_counts(band, numbers, weights, first, basis, out):
    """Put the counts of each spectrum in the band into `out`, float64."""
    for row in range(len(out)):
        total = 0.0
        for place in range(numbers.shape[1]):
            if weights[row, place] != 0.0:
                counts = 0.0
                for column in range(basis.shape[1]):
                    counts += band[numbers[row, place], first[row] + column] * basis[row, column]
                total += weights[row, place] * counts
        out[row] = total


@njit(**OPTIONS)
def observe_rows(
    table, numbers, weights, order, first, redshift, ebv_factor, scale, shift, excess, ramp,
    widening, displacement, curve, largest, window, median, flux, flux_scale,
):  # fmt: skip
    """Fill `flux` (spectra, pixels), normalised, and `flux_scale` (spectra,).

    numbers, weights: (spectra, fours, 4) rows of the table and what they weigh. order: in which
    spectra are made, which is free. scale: physical flux of a table's unit, behind dust of the
    middle of the curve; `curve` is what is left. window: first and last pixel + 1 of which the
    median is taken.
    """
    spectrum = np.empty(table.shape[1], np.float32)
    scratch = np.empty(flux.shape[1], np.float32)
    for row in order:
        w, n = weights[row, 0], numbers[row, 0]
        _put_rows(table[n[0]], table[n[1]], table[n[2]], table[n[3]], w, spectrum)
        for four in range(1, numbers.shape[1]):
            w, n = weights[row, four], numbers[row, four]
            if w[0] != 0.0 or w[1] != 0.0 or w[2] != 0.0 or w[3] != 0.0:
                add_rows(table[n[0]], table[n[1]], table[n[2]], table[n[3]], w, spectrum)
        out = flux[row]
        sample(
            spectrum, first[row], redshift[row], shift[row], excess[row], ramp, widening,
            displacement, out,
        )  # fmt: skip
        dim(curve, largest, ebv_factor[row], scratch, out)
        low, high = two_middles(out[window[0] : window[1]], scratch)
        unit = 0.5 * (np.float64(low) + np.float64(high)) / median
        inverse = np.float32(1.0 / unit)
        for i in range(len(out)):
            out[i] *= inverse
        flux_scale[row] = unit * scale[row]


@njit(**OPTIONS)
def noise_rows(
    flux, flux_scale, node, sky_weights, continuum, lines, rayleigh, mie, conversion_weights,
    conversion, aperture_share, aperture, electrons, variance, snr,
):  # fmt: skip
    """Fill `variance` (spectra, pixels), normalised, and `snr` (spectra,).

    node: the lower of the two nodes of the path through the air. sky_weights: (spectra, 2, 4) of
    continuum, lines and the two parts of moonlight at these nodes. electrons: (spectra, 6) of
    `batch.noise_numbers`.
    """
    pixels = flux.shape[1]
    around = np.empty(pixels + 2, np.float32)  # the sky, whose ends are their own neighbours
    sky = around[1:-1]
    share, snr_squared = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    for row in range(len(flux)):
        k = node[row]
        _fill_sky(
            continuum[k], lines[k], rayleigh[k], mie[k], sky_weights[row, 0],
            continuum[k + 1], lines[k + 1], rayleigh[k + 1], mie[k + 1], sky_weights[row, 1], sky,
        )  # fmt: skip
        around[0], around[pixels + 1] = sky[0], sky[pixels - 1]
        _fill_share(aperture, aperture_share[row], share)
        _fill_variance(
            flux[row], np.float32(flux_scale[row]), around, share, conversion[k],
            conversion[k + 1], conversion_weights[row], electrons[row], variance[row], snr_squared,
        )  # fmt: skip
        low, high = two_middles(snr_squared, share)
        snr[row] = 0.5 * (_signed_root(low) + _signed_root(high))


@njit(**OPTIONS)
def _fill_sky(a, b, c, d, lower, e, f, g, h, upper, out):
    """Put eight weighted rows into `out`, four at either node."""
    wa, wb, wc, wd = lower[0], lower[1], lower[2], lower[3]
    we, wf, wg, wh = upper[0], upper[1], upper[2], upper[3]
    for i in range(len(out)):
        below = wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i])
        out[i] = below + (we * e[i] + wf * f[i] + (wg * g[i] + wh * h[i]))


@njit(**OPTIONS)
def _fill_share(aperture, weights, out):
    """Put the fibre's share of the light into `out`, between its nodes over wavelength."""
    for i in range(len(out)):
        out[i] = weights[0] * aperture[0, i]
    for node in range(1, len(weights)):
        weight, vector = weights[node], aperture[node]
        for i in range(len(out)):
            out[i] += weight * vector[i]


@njit(**OPTIONS)
def _fill_variance(
    flux, scale, around, share, lower, upper, weights, electrons, variance, snr_squared
):
    """Put the variance of the stack and the signed square of flux / sigma into place.

    around: the sky, with one more pixel at both ends. share x (weighted lower + upper): electrons
    per unit of flux.
    """
    background, photons, read, subtraction = (
        electrons[0], electrons[1], electrons[2], electrons[3],
    )  # fmt: skip
    exposures, margin = electrons[4], electrons[5]
    wl, wu = scale * weights[0], scale * weights[1]
    for i in range(len(flux)):
        per_unit = share[i] * (wl * lower[i] + wu * upper[i])
        sky = around[i + 1]
        brightest = max(sky, around[i], around[i + 2])
        counts = photons * (per_unit * flux[i] + (sky + background))
        total = margin * (counts + read + subtraction * brightest * brightest)
        unit = exposures * per_unit
        variance[i] = total / (unit * unit)
        snr_squared[i] = flux[i] * abs(flux[i]) / variance[i]


@njit(**OPTIONS)
def _signed_root(square):
    value = np.float64(square)
    return np.sign(value) * np.sqrt(abs(value))
