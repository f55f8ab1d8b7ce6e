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
_FACTORS = 4  # that are multiplied before their logarithm is taken: they fit into a number
_EIGHT, _ROOT_HALF = np.float32(8.0), np.float32(0.5**0.5)
_OF_120, _OF_24, _OF_12 = (np.float32(1.0 / x) for x in (120.0, 24.0, 12.0))


@njit(**OPTIONS)
def _outer(u):
    """Return the share of the outermost coefficient; u: of the way that is left to the next."""
    u2 = u * u
    return u2 * u2 * u * _OF_120


@njit(**OPTIONS)
def _second(t):
    return _26 - t * (_FIFTY - t * (_TWENTY + t * (_TWENTY - t * (_TWENTY - _FIVE * t))))


@njit(**OPTIONS)
def _third(t):
    t2 = t * t
    return _66 - t2 * (_SIXTY - t2 * (_THIRTY - _TEN * t))


@njit(**OPTIONS)
def _run(first, step, begin, pixels):
    """Return the pixels from `begin` on that advance by whole points, less a little.

    As: the last of them + 1, the point before the first of them, the way of it from there to the
    next, and what is added to the way a pixel. Over these, loops need no whole number a pixel.
    """
    place = first + step * begin
    point = int(place)
    way, drift = place - point, step - 1.0
    if drift > 0.0:
        count = (1.0 - way) / drift
    elif drift < 0.0:
        count = way / -drift
    else:
        count = float(pixels)
    end = begin + 1 + int(min(count, float(pixels)))
    return min(end, pixels), point, np.float32(way), np.float32(drift)


@njit(**OPTIONS)
def gather_rows(coefficients, first, step, out):
    """Put the values of splines at the pixels into `out`. One row of coefficients serves all."""
    for n in range(len(out)):
        begin, pixels = 0, out.shape[1]
        while begin < pixels:
            end, point, way, drift = _run(first[n], step[n], begin, pixels)
            row = coefficients[n if len(coefficients) > 1 else 0, point - 2 :]
            seen = out[n, begin:end]
            for i in range(len(seen)):
                t = way + drift * np.float32(i)
                u = _ONE - t
                before = _outer(u) * row[i] + (_second(t) * row[i + 1] + _third(t) * row[i + 2])
                behind = _outer(t) * row[i + 5] + (_second(u) * row[i + 4] + _third(u) * row[i + 3])
                seen[i] = before + behind
            begin = end


@njit(**OPTIONS)
def scatter_rows(values, first, step, out):
    """Add values at the pixels to the coefficients in `out` that they are made of."""
    for n in range(len(values)):
        begin, pixels = 0, values.shape[1]
        while begin < pixels:
            end, point, way, drift = _run(first[n], step[n], begin, pixels)
            row = out[n, point - 2 :]
            seen = values[n, begin:end]
            # One coefficient after the other: within a loop no two pixels add to the same.
            for i in range(len(seen)):
                row[i] += _outer(_ONE - (way + drift * np.float32(i))) * seen[i]
            for i in range(len(seen)):
                row[i + 1] += _second(way + drift * np.float32(i)) * seen[i]
            for i in range(len(seen)):
                row[i + 2] += _third(way + drift * np.float32(i)) * seen[i]
            for i in range(len(seen)):
                row[i + 3] += _third(_ONE - (way + drift * np.float32(i))) * seen[i]
            for i in range(len(seen)):
                row[i + 4] += _second(_ONE - (way + drift * np.float32(i))) * seen[i]
            for i in range(len(seen)):
                row[i + 5] += _outer(way + drift * np.float32(i)) * seen[i]
            begin = end


@njit(**OPTIONS)
def weigh_rows(weights, first, step, out):
    """Add weights of pixels to the two of every other point in `out` that they lie between."""
    for n in range(len(weights)):
        row = out[n]
        place, pitch = 0.5 * first[n], 0.5 * step[n]
        for i in range(weights.shape[1]):
            x = place + pitch * i
            k = int(x)
            behind = np.float32(x - k) * weights[n, i]
            row[k] += weights[n, i] - behind
            row[k + 1] += behind


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
            place = min(max((j - first[n]) / step[n], 0.0), np.float64(last))
            i = int(place)
            t = np.float32(place - i)
            out[n, j] = seen[i] + t * (seen[min(i + 1, last)] - seen[i])


@njit(**OPTIONS)
def seen_rows(flux, noise, shape, centre, level, seen, is_alone, pairs, is_pair):
    """Put what is seen of spectra, less the mean, into `seen`, its sums of two into `pairs`.

    noise: (rows, pixels) over `shape`, infinite where masked. level: (rows,), of it. A pixel is
    drawn towards the mean as its noise says. is_pair: whether both of two pixels are seen; the sum
    of others is 0. is_alone: whether a pixel is seen while its neighbour is not.
    """
    pixels = flux.shape[1]
    for n in range(len(flux)):
        # beyond what a star or its noise does; noisier than the level by as much as is usual
        far, usual, row = _ONE + _EIGHT * level[n], _TWO * level[n], seen[n]
        for i in range(pixels):
            value = min(max(flux[n, i] / shape[i] - centre[i], -far), far)
            share = min(usual / noise[n, i], _ONE)
            row[i] = value * (share * share)
        for k in range(pairs.shape[1]):
            i, j = 2 * k, min(2 * k + 1, pixels - 1)
            one, other = noise[n, i] < np.inf, noise[n, j] < np.inf
            is_pair[n, k] = one and other
            is_alone[n, i], is_alone[n, j] = one and not other, other and not one
            both = row[i] + row[j] if j > i else row[i]
            pairs[n, k] = both * _ROOT_HALF if one and other else np.float32(0.0)


@njit(**OPTIONS)
def _add_products(one, two, sign, out):
    """Add what two pixels say of products of directions, (directions, directions, shifts), below.

    one, two: (directions, shifts) of the bank, the mean first.
    """
    for a in range(len(out)):
        for b in range(a + 1):
            products = out[a, b]
            for s in range(len(products)):
                products[s] += sign * (one[a, s] * one[b, s] + two[a, s] * two[b, s])


@njit(**OPTIONS)
def _add_all(bank, chosen, sign, out):
    """Do so for chosen places of a bank."""
    nothing = np.zeros_like(bank[0])
    for i in range(0, len(chosen), 2):
        other = bank[chosen[i + 1]] if i + 1 < len(chosen) else nothing
        _add_products(bank[chosen[i]], other, sign, out)


@njit(**OPTIONS)
def _evidence(products, along, squares, squared, out):
    """Put the logarithm of the evidence of a spectrum at each shift into `out`.

    products: of the mean and the directions over what is seen, (directions, directions, shifts);
    its lower triangle is overwritten. along: the same with the spectrum. squares: variance of each
    direction; squared: of a pixel.
    """
    shifts = len(out)
    left, ratio = np.empty(shifts), np.ones(shifts)
    for s in range(shifts):
        out[s] = (products[0, 0, s] - 2.0 * along[0, s]) / squared
    for j in range(1, len(along)):
        row, off = products[j], along[j]
        for s in range(shifts):
            off[s] -= row[0, s]
            left[s] = row[j, s] + squared / squares[j - 1, s]
        for k in range(1, j):
            value, column = row[k], products[k]
            for m in range(1, k):
                for s in range(shifts):
                    value[s] -= row[m, s] * column[m, s]
            for s in range(shifts):
                value[s] /= column[k, s]
                left[s] -= value[s] * value[s]
                off[s] -= value[s] * column[0, s]
        for s in range(shifts):
            least = squared / squares[j - 1, s]
            left[s] = max(left[s], least)  # it is, but for rounding
            row[j, s] = np.sqrt(left[s])
            row[0, s] = off[s] / row[j, s]
            out[s] -= row[0, s] * row[0, s] / squared
            ratio[s] *= left[s] / least
        if j % _FACTORS == 0 or j + 1 == len(along):
            for s in range(shifts):
                out[s] += np.log(ratio[s])
                ratio[s] = 1.0
    for s in range(shifts):
        out[s] *= -0.5


@njit(**OPTIONS)
def evidence_rows(along, seen, is_alone, is_pair, pairs, pixels, whole, squares, squared, out):
    """Put the evidence (rows, shifts) of spectra of which some pixels are seen into `out`.

    along: products (rows, directions, shifts) of the sums of two seen pixels with the bank; they
    are overwritten. is_alone: the pixels that are seen while their neighbour is not; is_pair: the
    pairs that are. pairs: the bank (pairs, directions, shifts), the mean first; pixels: the same of
    single ones. whole: products of directions over all pairs; those over a few are taken from them,
    or stand alone, whichever pairs are fewer.
    """
    few = np.empty(whole.shape, np.float32)
    products = np.empty(whole.shape)
    for n in range(len(out)):
        is_mostly = 2 * np.count_nonzero(is_pair[n]) > len(pairs)
        sign = np.float32(-1.0 if is_mostly else 1.0)
        few[:] = np.float32(0.0)
        _add_all(pairs, np.flatnonzero(is_pair[n] != is_mostly), sign, few)
        alone = np.flatnonzero(is_alone[n])
        _add_all(pixels, alone, np.float32(1.0), few)
        own = along[n]
        for i in range(len(alone)):
            values = pixels[alone[i]]
            for a in range(len(own)):
                for s in range(own.shape[1]):
                    own[a, s] += np.float64(values[a, s] * seen[n, alone[i]])
        for a in range(len(few)):
            for b in range(a + 1):
                for s in range(few.shape[2]):
                    base = whole[a, b, s] if is_mostly else 0.0
                    products[a, b, s] = base + np.float64(few[a, b, s])
        _evidence(products, own, squares, squared[n], out[n])
