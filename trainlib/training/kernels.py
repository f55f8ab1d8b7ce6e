"""The compiled random numbers of the training: NumPy's Philox, and normals made of its words.

Integers are those of `numpy.random.Philox` (Salmon et al. 2011, four words of 64 bits, ten rounds),
which counts up before it gives. Normals are Box and Muller's, by polynomials in float32: what the
loops compute of a row does not depend on the rows beside it, and no lock of Python is held.
"""

from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from simlib.jit import njit
from simlib.simulation.compiled.kernel import OPTIONS

_FACTORS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_BUMPS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10
_TOGETHER = 512  # normals, halved: their scratch stays in the processor's nearest cache
_MANTISSA, _ONE_BITS, _EXPONENT = np.int32(0x007FFFFF), np.int32(0x3F800000), np.int32(0x7F800000)

# Literals would turn the arithmetic into float64, at half the speed.
_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0))
_UNIT, _SMALLEST = np.float32(2.0**-32), np.float32(2.0**-26)
_PER_BIT, _BIAS = np.float32(2.0**-23), np.float32(127.0)
_ROOT_2, _LN_2 = np.float32(np.sqrt(2.0)), np.float32(np.log(2.0))
# of ln(1 + x) from 1/√2 to √2, beyond x - x² / 2 (S. Moshier's Cephes, logf)
_L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10, _L11 = (
    np.float32(x)
    for x in (
        3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
        -1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2,
    )
)  # fmt: skip
_HALF_ANGLE = np.float32(np.pi * 2.0**-32)
# of sine and cosine up to a right angle
_S3, _S5, _S7, _S9, _S11 = (
    np.float32(x) for x in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800)
)
_C2, _C4, _C6, _C8, _C10, _C12 = (
    np.float32(x) for x in (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600)
)


def _product_of(_, a, b):
    """Return the upper and the lower 64 bits of the product of two words."""

    def generated(context, builder, signature, words):
        wide = ir.IntType(128)
        whole = builder.mul(*(builder.zext(word, wide) for word in words))
        upper = builder.lshr(whole, ir.Constant(wide, 64))
        parts = [builder.trunc(part, ir.IntType(64)) for part in (upper, whole)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(types.uint64, 2)(a, b), generated


_product: Any = intrinsic(_product_of)  # the compiler gives the first argument


@njit(**OPTIONS)
def fill_words(key, other_key, first, epoch, out):
    """Put the words (uint64) into `out` that NumPy's Philox gives from counter (first, epoch).

    As many as fill whole steps of four. first, epoch: int64, as the keys.
    """
    for step in range(len(out) // 4):
        a, b = np.uint64(first + step + 1), np.uint64(epoch)
        c, d = np.uint64(0), np.uint64(0)
        x, y = np.uint64(key), np.uint64(other_key)
        for _ in range(_ROUNDS):
            upper, lower = _product(_FACTORS[0], a)
            high, low = _product(_FACTORS[1], c)
            a, b, c, d = high ^ b ^ x, low, upper ^ d ^ y, lower
            x += _BUMPS[0]
            y += _BUMPS[1]
        out[4 * step], out[4 * step + 1], out[4 * step + 2], out[4 * step + 3] = a, b, c, d


@njit(**OPTIONS)
def _put_normals(bits, out, uniform, mantissa, exponent):
    """Put normals of unit variance into `out`, as many as there are int32; an even number."""
    half = len(bits) // 2
    uniform_bits, mantissa_bits = uniform.view(np.int32), mantissa.view(np.int32)
    for begin in range(0, half, _TOGETHER):
        end = min(begin + _TOGETHER, half)
        of_radius, of_angle = bits[begin:end], bits[half + begin : half + end]
        cosine, sine = out[begin:end], out[half + begin : half + end]
        count = end - begin
        for i in range(count):
            uniform[i] = max(np.float32(of_radius[i]) * _UNIT + _HALF, _SMALLEST)
        for i in range(count):
            exponent[i] = uniform_bits[i] & _EXPONENT
            mantissa_bits[i] = (uniform_bits[i] & _MANTISSA) | _ONE_BITS
        for i in range(count):
            power, scale = np.float32(exponent[i]) * _PER_BIT - _BIAS, mantissa[i]
            is_large = scale > _ROOT_2
            power += _ONE if is_large else _ZERO
            x = (_HALF * scale if is_large else scale) - _ONE
            square = x * x
            high = _L7 + x * (_L8 + x * (_L9 + x * (_L10 + x * _L11)))
            rest = _L3 + x * (_L4 + x * (_L5 + x * (_L6 + x * high)))
            logarithm = x * square * rest - _HALF * square + x + power * _LN_2
            radius = sqrt(-_TWO * min(logarithm, _ZERO))
            angle = np.float32(of_angle[i]) * _HALF_ANGLE
            turn = angle * angle
            s = angle + angle * turn * (
                _S3 + turn * (_S5 + turn * (_S7 + turn * (_S9 + turn * _S11)))
            )
            high = _C6 + turn * (_C8 + turn * (_C10 + turn * _C12))
            c = _ONE + turn * (_C2 + turn * (_C4 + turn * high))
            cosine[i] = radius * (_ONE - _TWO * s * s)
            sine[i] = radius * (_TWO * s * c)


@njit(**OPTIONS)
def _scratch():
    return (
        np.empty(_TOGETHER, np.float32), np.empty(_TOGETHER, np.float32),
        np.empty(_TOGETHER, np.int32),
    )  # fmt: skip


@njit(**OPTIONS)
def normal_rows(bits, out):
    """Put normals (rows, even) float32 into `out`, made of int32 of the same shape."""
    uniform, mantissa, exponent = _scratch()
    for row in range(len(out)):
        _put_normals(bits[row], out[row], uniform, mantissa, exponent)


@njit(**OPTIONS)
def noise_rows(key, other_key, first, epoch, steps, out):
    """Put normals (rows, pixels) into `out`: of rows that own so many steps each, from `first` on.

    What `normal_rows` makes of what `fill_words` gives, the words held in the nearest cache.
    """
    uniform, mantissa, exponent = _scratch()
    words = np.empty(4 * steps, np.uint64)
    bits, normals = words.view(np.int32), np.empty(8 * steps, np.float32)
    for row in range(len(out)):
        fill_words(key, other_key, first + row * steps, epoch, words)
        _put_normals(bits, normals, uniform, mantissa, exponent)
        out[row] = normals[: out.shape[1]]


@njit(**OPTIONS)
def augmented_rows(
    key, other_key, first, epoch, steps, curves, columns, flux, sigma, target, noisy, variance
):
    """Put the augmented flux, the same with noise, and its variance (rows, pixels) into place.

    curves: what the calibration's errors go with, (rows, pixels), or no row at all. columns:
    (rows, 3) scale, offset, and what multiplies the curve. The rest: see `noise_rows`.
    """
    uniform, mantissa, exponent = _scratch()
    words = np.empty(4 * steps, np.uint64)
    bits, normals = words.view(np.int32), np.empty(8 * steps, np.float32)
    for row in range(len(flux)):
        fill_words(key, other_key, first + row * steps, epoch, words)
        _put_normals(bits, normals, uniform, mantissa, exponent)
        scale, offset, size = columns[row, 0], columns[row, 1], columns[row, 2]
        clean, level, wanted = flux[row], sigma[row], target[row]
        seen, square = noisy[row], variance[row]
        # Loops of few arrays each: more, and the compiler would not see that none overlap.
        if len(curves):
            curve = curves[row]
            for i in range(len(wanted)):
                wanted[i] = clean[i] * (scale + size * curve[i]) + offset
        else:
            for i in range(len(wanted)):
                wanted[i] = clean[i] * scale + offset
        for i in range(len(seen)):
            seen[i] = wanted[i] + level[i] * scale * normals[i]
        for i in range(len(square)):
            spread = level[i] * scale
            square[i] = spread * spread


@njit(**OPTIONS)
def _up_to(word, most):
    return 1 + ((np.int64(word) - 2**31) * most >> 31) if word >= 2**31 and most else 0


@njit(**OPTIONS)
def _put_runs(drawn, runs, pixels, out):
    least, most = pixels
    for run in range(runs):
        first = np.int64(drawn[2 * run]) * len(out) >> 32
        length = least + (np.int64(drawn[2 * run + 1]) * (most - least + 1) >> 32)
        out[first : first + length] = True


@njit(**OPTIONS)
def masked_rows(drawn, first, gaps, rays, gap_pixels, ray_pixels, out):
    """Set the pixels (rows, pixels) of gaps and cosmic rays.

    drawn: uint32 of the rows; `masks` says which is what, the places from word `first` on.
    gap_pixels, ray_pixels: of one, at least and at most.
    """
    for row in range(len(out)):
        _put_runs(drawn[row, first:], _up_to(drawn[row, 0], gaps), gap_pixels, out[row])
        places = drawn[row, first + 2 * gaps :]
        _put_runs(places, _up_to(drawn[row, 1], rays), ray_pixels, out[row])
