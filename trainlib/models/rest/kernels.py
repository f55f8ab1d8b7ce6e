"""The compiled loops between a rest axis and observed pixels, one row after the other.

A curve on the rest axis is a quintic B-spline: six coefficients make its value at a place. Pixel i
of a row lies at first + step x i, in points of the axis; all places must lie within it, which is
not looked at here. A row's bits do not depend on the rows beside it, and no lock of Python is held.
"""

import numpy as np

from simlib.jit import njit
from simlib.simulation.compiled.kernel import OPTIONS

# A literal would turn the arithmetic into float64, at half the speed.
_ONE, _TWO, _THREE = np.float32(1.0), np.float32(2.0), np.float32(3.0)
_FIVE, _TEN, _TWENTY, _THIRTY = (np.float32(x / 120.0) for x in (5.0, 10.0, 20.0, 30.0))
_FIFTY, _SIXTY, _26, _66 = (np.float32(x / 120.0) for x in (50.0, 60.0, 26.0, 66.0))
_OF_120, _OF_24, _OF_12 = (np.float32(1.0 / x) for x in (120.0, 24.0, 12.0))


@njit(**OPTIONS)
def _before(t):
    """Return the shares of the three coefficients before a place, the outermost first.

    t: of the way from the third to the fourth. Those behind have the shares at 1 - t.
    """
    u = _ONE - t
    u2, t2 = u * u, t * t
    second = _26 - t * (_FIFTY - t * (_TWENTY + t * (_TWENTY - t * (_TWENTY - _FIVE * t))))
    third = _66 - t2 * (_SIXTY - t2 * (_THIRTY - _TEN * t))
    return u2 * u2 * u * _OF_120, second, third


@njit(**OPTIONS)
def gather_rows(coefficients, first, step, out):
    """Put the values of splines at the pixels into `out`. One row of coefficients serves all."""
    for n in range(len(out)):
        row = coefficients[n if len(coefficients) > 1 else 0]
        seen = out[n]
        for i in range(len(seen)):
            place = first[n] + step[n] * i
            k = int(place)
            t = np.float32(place - k)
            a, b, c = _before(t)
            f, e, d = _before(_ONE - t)
            seen[i] = (
                a * row[k - 2] + b * row[k - 1] + c * row[k]
                + (d * row[k + 1] + e * row[k + 2] + f * row[k + 3])
            )  # fmt: skip


@njit(**OPTIONS)
def scatter_rows(values, first, step, out):
    """Add values at the pixels to the coefficients in `out` that they are made of."""
    for n in range(len(values)):
        row = out[n]
        seen = values[n]
        for i in range(len(seen)):
            place = first[n] + step[n] * i
            k = int(place)
            t = np.float32(place - k)
            a, b, c = _before(t)
            f, e, d = _before(_ONE - t)
            x = seen[i]
            row[k - 2] += a * x
            row[k - 1] += b * x
            row[k] += c * x
            row[k + 1] += d * x
            row[k + 2] += e * x
            row[k + 3] += f * x


@njit(**OPTIONS)
def move_rows(coefficients, start, change, out):
    """Put the coefficients of the same curves at places x (1 + change) into `out`.

    start: of the axis, in points from wavelength 0. By Lagrange's polynomial through six
    coefficients, good for shifts of about a point; the ends stay.
    """
    for n in range(len(out)):
        row = coefficients[n]
        moved = out[n]
        points = len(row)
        for j in range(points):
            shift = change[n] * (start + j)
            k = int(np.floor(shift))
            t = np.float32(shift - k)
            k += j
            if k < 2 or k > points - 4:
                moved[j] = row[j]
                continue
            p, q, r, s, u = t + _TWO, t + _ONE, t - _ONE, t - _TWO, t - _THREE
            outer = (p * q * t * r * s * row[k + 3] - q * t * r * s * u * row[k - 2]) * _OF_120
            beside = (p * t * r * s * u * row[k - 1] - p * q * t * r * u * row[k + 2]) * _OF_24
            middle = (p * q * t * s * u * row[k + 1] - p * q * r * s * u * row[k]) * _OF_12
            moved[j] = outer + beside + middle


@njit(**OPTIONS)
def rest_rows(values, first, step, out):
    """Put smooth curves, known at the pixels, into `out` at the points of the axis.

    Linear between pixels, and held beyond them.
    """
    for n in range(len(out)):
        seen = values[n]
        last = len(seen) - 1
        for j in range(out.shape[1]):
            place = min(max((j - first[n]) / step[n], 0.0), last - 1e-3)
            i = int(place)
            t = np.float32(place - i)
            out[n, j] = seen[i] + t * (seen[i + 1] - seen[i])
