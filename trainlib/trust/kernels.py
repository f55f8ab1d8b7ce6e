"""The compiled loops over residuals, one row after the other; see `residuals`."""

import numpy as np

from simlib.jit import njit
from simlib.simulation.compiled.kernel import OPTIONS

_ZERO = np.float32(0.0)
_NO_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)


@njit(**OPTIONS)
def sum_rows(
    flux, variance, made, error, usual, rules, misfit, of_residual, of_weight, of_error
):  # fmt: skip
    """Fill sums from the first pixel on, (rows, pixels + 1), and the scatter `misfit` (rows,).

    usual: (rows,), variance of a pixel. rules: sigma from which a pixel is far off; share of it
    below which its neighbours leave it alone; largest weight, over the usual one's.
    """
    far, alone, most = rules
    pixels = flux.shape[1]
    residual, pull = np.empty(pixels), np.zeros(pixels + 2)
    for row in range(len(flux)):
        for i in range(pixels):
            is_seen = variance[row, i] < np.inf
            residual[i] = (flux[row, i] - made[row, i]) if is_seen else _ZERO
            noise = np.float64(variance[row, i]) if is_seen else 1.0
            pull[i + 1] = abs(residual[i]) / np.sqrt(noise)
        largest = most / usual[row]
        total, count = 0.0, 0
        of_row, weights, errors = of_residual[row], of_weight[row], of_error[row]
        of_row[0], weights[0], errors[0] = 0.0, 0.0, 0.0
        for i in range(pixels):
            noise, wrong = np.float64(variance[row, i]), np.float64(error[row, i])
            here = pull[i + 1]
            is_ray = here > far and max(pull[i], pull[i + 2]) < alone * here
            weight = 0.0
            if noise < np.inf and not is_ray:
                weight = min(1.0 / noise, largest)
                total += min(residual[i] * residual[i] / (noise + wrong * wrong), far * far)
                count += 1
            of_row[i + 1] = of_row[i] + weight * residual[i]
            weights[i + 1] = weights[i] + weight
            errors[i + 1] = errors[i] + weight * wrong
        misfit[row] = np.sqrt(total / count) if count else np.nan


@njit(**OPTIONS)
def largest_rows(of_residual, of_weight, of_error, shared, pixels, is_narrow, largest):
    """Raise `largest` (rows,) to the largest square of the significance of runs of so many pixels.

    shared: (rows,), correlation of neighbours' noise. is_narrow: errors count.
    """
    runs = of_weight.shape[1] - pixels
    squares = np.empty(runs + 1)
    bits = squares.view(np.int64)  # in the same order, what is no number above all
    for row in range(len(largest)):
        tops, weights, errors = of_residual[row], of_weight[row], of_error[row]
        wider = 1.0 + 2.0 * shared[row] * (1.0 - 1.0 / pixels)
        for i in range(runs):
            top = tops[i + pixels] - tops[i]
            wrong = errors[i + pixels] - errors[i] if is_narrow else 0.0
            squared = wider * (max(weights[i + pixels] - weights[i], 0.0) + wrong * wrong)
            squares[i] = top * top / squared if squared > 0.0 else 0.0
        squares[runs] = largest[row]
        most = np.int64(0)
        for i in range(runs + 1):
            most = max(most, bits[i] & _NO_SIGN)
        bits[0] = most
        largest[row] = squares[0]
