"""The compiled loops over pixels, one spectrum after the other; `reordering.md` derives them.

Everything is float32, in a fixed order, and sees one spectrum only: a row's bits do not depend on
the rows beside it. The loops hold no lock of Python, so that threads may run them side by side.
"""

from math import factorial, floor
from typing import Any

import numpy as np
from numba import njit
from scipy.interpolate import BSpline

from simlib.simulation.select import two_middles
from simlib.simulation.templates import SPLINE_DEGREE

TAPS = SPLINE_DEGREE + 1
ROWS_TOGETHER = 4  # of the tables
_PAIRS = TAPS // 2
_LARGEST_EXPONENT = 0.3  # that the polynomial of the exponential is used for
# No reassociation: sums keep their order. No check of divisions, which would stop vectorisation.
OPTIONS: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"},
}  # fmt: skip


def _tap_polynomials() -> tuple[tuple[np.float32, ...], ...]:
    """Return (powers, pairs): what the B-spline's taps weigh, in powers of (fraction - 1/2).

    Tap j and tap 7 - j mirror each other: even powers multiply their sum, odd ones the difference.
    """
    basis = BSpline.basis_element(np.arange(TAPS + 1) - TAPS / 2)
    rows = []
    for power in range(TAPS):
        bend = basis.derivative(power) if power else basis
        taps = bend(TAPS / 2 - 0.5 - np.arange(_PAIRS)) / factorial(power)
        rows.append(tuple(np.float32(tap) for tap in taps))
    return tuple(rows)


_TAP = _tap_polynomials()
_EXP = tuple(np.float32(1.0 / factorial(power)) for power in range(8))
# What a power contributes to the second, fourth and sixth derivative.
_SECOND = tuple(np.float32(factorial(p) / factorial(p - 2)) for p in range(2, TAPS))
_FOURTH = tuple(np.float32(factorial(p) / factorial(p - 4)) for p in range(4, TAPS))
_SIXTH = tuple(np.float32(factorial(p) / factorial(p - 6)) for p in range(6, TAPS))
_HALF, _THIRD = np.float32(0.5), np.float32(1.0 / 3.0)


@njit(**OPTIONS)
def _add_rows(a, b, c, d, weights, out):
    """Add four weighted rows to `out`."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] += wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i])


@njit(**OPTIONS)
def _of_pairs(row, p0, p1, p2, p3):
    return (row[0] * p0 + row[1] * p1) + (row[2] * p2 + row[3] * p3)


@njit(**OPTIONS)
def _sample_run(even, odd, ramp, start, slope, redshift, shift, w0, w1, w2, displacement, out):
    """Evaluate and widen the spline at pixels that advance by two points, less a little, each.

    even, odd: coefficients that taps 0, 2, 4, 6 and 1, 3, 5, 7 of the first pixel begin with.
    start + slope x pixel: fraction - 1/2. shift: what the displacement is multiplied by.
    """
    for i in range(len(out)):
        t = start + slope * ramp[i] + shift * displacement[i]
        s0, m0 = even[i] + odd[i + 3], even[i] - odd[i + 3]
        s1, m1 = odd[i] + even[i + 3], odd[i] - even[i + 3]
        s2, m2 = even[i + 1] + odd[i + 2], even[i + 1] - odd[i + 2]
        s3, m3 = odd[i + 1] + even[i + 2], odd[i + 1] - even[i + 2]
        d0, d1 = _of_pairs(_TAP[0], s0, s1, s2, s3), _of_pairs(_TAP[1], m0, m1, m2, m3)
        d2, d3 = _of_pairs(_TAP[2], s0, s1, s2, s3), _of_pairs(_TAP[3], m0, m1, m2, m3)
        d4, d5 = _of_pairs(_TAP[4], s0, s1, s2, s3), _of_pairs(_TAP[5], m0, m1, m2, m3)
        d6, d7 = _of_pairs(_TAP[6], s0, s1, s2, s3), _of_pairs(_TAP[7], m0, m1, m2, m3)
        value = d0 + t * (d1 + t * (d2 + t * (d3 + t * (d4 + t * (d5 + t * (d6 + t * d7))))))
        second = _SECOND[0] * d2 + t * (_SECOND[1] * d3 + t * (_SECOND[2] * d4 + t * (
            _SECOND[3] * d5 + t * (_SECOND[4] * d6 + t * (_SECOND[5] * d7)))))  # fmt: skip
        fourth = _FOURTH[0] * d4 + t * (_FOURTH[1] * d5 + t * (
            _FOURTH[2] * d6 + t * (_FOURTH[3] * d7)))  # fmt: skip
        sixth = _SIXTH[0] * d6 + t * (_SIXTH[1] * d7)
        k = redshift * (w0[i] + redshift * (w1[i] + redshift * w2[i]))
        out[i] = value + k * (second + _HALF * k * (fourth + _THIRD * k * sixth))


@njit(**OPTIONS)
def _sample(spectrum, first, redshift, shift, ramp, widening, displacement, out):
    """Evaluate the spline at all pixels, in runs over which the whole part advances by two.

    first: place of pixel 0, in points. A run may end a pixel early or late: the polynomial goes on
    smoothly over a tiny distance.
    """
    points, pixels = len(spectrum) // 2, len(out)
    w0, w1, w2 = widening[0], widening[1], widening[2]
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
        tap = whole - (TAPS // 2 - 1)
        half = tap // 2
        if tap % 2 == 0:
            even, odd = spectrum[half:points], spectrum[points + half :]
        else:
            even, odd = spectrum[points + half :], spectrum[half + 1 : points]
        _sample_run(
            even, odd, ramp, np.float32(fraction - 0.5), np.float32(slope), np.float32(redshift),
            np.float32(shift), w0[begin:end], w1[begin:end], w2[begin:end],
            displacement[begin:end], out[begin:end],
        )  # fmt: skip
        begin = end


@njit(**OPTIONS)
def dim(curve, largest, factor, scratch, out):
    """Multiply `out` by exp(factor x curve), |curve| <= largest.

    A polynomial for small exponents; larger ones are halved until it holds, and squared back.
    """
    if factor == 0.0:
        return
    squarings = 0
    while abs(factor) * largest > _LARGEST_EXPONENT * 2.0**squarings:
        squarings += 1
    part = np.float32(factor / 2.0**squarings)
    for i in range(len(out)):
        x = part * curve[i]
        scratch[i] = _EXP[0] + x * (_EXP[1] + x * (_EXP[2] + x * (_EXP[3] + x * (
            _EXP[4] + x * (_EXP[5] + x * (_EXP[6] + x * _EXP[7]))))))  # fmt: skip
    for _ in range(squarings):
        for i in range(len(out)):
            scratch[i] *= scratch[i]
    for i in range(len(out)):
        out[i] *= scratch[i]


@njit(**OPTIONS)
def band_counts(band, numbers, weights, basis, out):
    """Put the counts of each spectrum in the band into `out`, float64."""
    for row in range(len(out)):
        total = 0.0
        for place in range(numbers.shape[1]):
            if weights[row, place] != 0.0:
                counts = 0.0
                for order in range(basis.shape[1]):
                    counts += band[numbers[row, place], order] * basis[row, order]
                total += weights[row, place] * counts
        out[row] = total


@njit(**OPTIONS)
def observe_rows(
    table, numbers, weights, order, first, redshift, ebv_factor, scale, shift, ramp,
    widening, displacement, curve, largest, window, median, flux, flux_scale,
):  # fmt: skip
    """Fill `flux` (spectra, pixels), normalised, and `flux_scale` (spectra,).

    order: in which rows are made, which is free. scale: physical flux of a table's unit, behind
    dust of the middle of the curve; `curve` is what is left. window: first and last pixel + 1 of
    which the median is taken.
    """
    spectrum = np.empty(table.shape[1], np.float32)
    scratch = np.empty(flux.shape[1], np.float32)
    for row in order:
        spectrum[:] = np.float32(0.0)
        for place in range(0, numbers.shape[1], ROWS_TOGETHER):
            w, n = weights[row, place:], numbers[row, place:]
            if w[0] != 0.0 or w[1] != 0.0 or w[2] != 0.0 or w[3] != 0.0:
                _add_rows(table[n[0]], table[n[1]], table[n[2]], table[n[3]], w, spectrum)
        out = flux[row]
        _sample(spectrum, first[row], redshift[row], shift[row], ramp, widening, displacement, out)
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
    conversion, aperture_share, aperture, foreground, largest, foreground_factor, electrons,
    variance, snr,
):  # fmt: skip
    """Fill `variance` (spectra, pixels), normalised, and `snr` (spectra,).

    node: the lower of the two nodes of the path through the air. sky_weights: (spectra, 2, 4) of
    continuum, lines and the two parts of moonlight at these nodes. electrons: (spectra, 6) of
    `compiled.noise_numbers`.
    """
    pixels = flux.shape[1]
    sky = np.empty(pixels, np.float32)
    convert, scratch = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    for row in range(len(flux)):
        k = node[row]
        a, b = sky_weights[row, 0], sky_weights[row, 1]
        _add_rows_into(continuum[k], lines[k], rayleigh[k], mie[k], a, sky)
        _add_rows(continuum[k + 1], lines[k + 1], rayleigh[k + 1], mie[k + 1], b, sky)
        _fill_conversion(
            conversion[k], conversion[k + 1], conversion_weights[row], aperture,
            aperture_share[row], convert,
        )  # fmt: skip
        dim(foreground, largest, foreground_factor[row], scratch, convert)
        _fill_variance(
            flux[row], np.float32(flux_scale[row]), sky, convert, electrons[row],
            variance[row], scratch,
        )  # fmt: skip
        low, high = two_middles(scratch, convert)
        snr[row] = 0.5 * (_signed_root(low) + _signed_root(high))


@njit(**OPTIONS)
def _add_rows_into(a, b, c, d, weights, out):
    """Put four weighted rows into `out`."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] = wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i])


@njit(**OPTIONS)
def _fill_conversion(lower, upper, weights, aperture, share, out):
    """Put electrons per unit of flux into `out`: air, instrument and the fibre's share."""
    wl, wu = weights[0], weights[1]
    for i in range(len(out)):
        out[i] = share[0] * aperture[0, i]
    for node in range(1, len(share)):
        weight, vector = share[node], aperture[node]
        for i in range(len(out)):
            out[i] += weight * vector[i]
    for i in range(len(out)):
        out[i] *= wl * lower[i] + wu * upper[i]


@njit(**OPTIONS)
def _fill_variance(flux, scale, sky, convert, electrons, variance, snr_squared):
    """Put the variance of the stack and the signed square of flux / sigma into place."""
    background, photons, read, subtraction = (
        electrons[0], electrons[1], electrons[2], electrons[3],
    )  # fmt: skip
    per_unit = electrons[4] * scale  # of the stack
    margin = electrons[5]
    last = len(sky) - 1
    for i in range(1, last):
        brightest = max(sky[i], sky[i - 1], sky[i + 1])
        variance[i] = subtraction * brightest * brightest
    ends = max(sky[0], sky[1]), max(sky[last - 1], sky[last])
    variance[0] = subtraction * ends[0] * ends[0]
    variance[last] = subtraction * ends[1] * ends[1]
    for i in range(len(flux)):
        counts = photons * (scale * convert[i] * flux[i] + (sky[i] + background))
        total = margin * (counts + read + variance[i])
        unit = per_unit * convert[i]
        variance[i] = total / (unit * unit)
        snr_squared[i] = flux[i] * abs(flux[i]) / variance[i]


@njit(**OPTIONS)
def _signed_root(square):
    value = np.float64(square)
    return np.sign(value) * np.sqrt(abs(value))
