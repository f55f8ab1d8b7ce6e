"""Products of matrices in a fixed order: the same bits every time, unlike a library's."""

import numpy as np

from simlib.jit import njit
from simlib.simulation.compiled.kernel import OPTIONS, ROWS_TOGETHER, add_rows

_TOGETHER = 64  # columns that stay near


@njit(**OPTIONS)
def row_products(rows, columns, out):
    """Add the matrix product of rows (n, w) and columns (w, k) to `out` (n, k).

    A few columns at a time, for all rows.
    """
    width = rows.shape[1]
    for begin in range(0, width, _TOGETHER):
        end = min(begin + _TOGETHER, width)
        for n in range(len(rows)):
            i = begin
            while i + ROWS_TOGETHER <= end:
                add_rows(
                    columns[i], columns[i + 1], columns[i + 2], columns[i + 3], rows[n, i:], out[n]
                )
                i += ROWS_TOGETHER
            for j in range(i, end):
                for k in range(columns.shape[1]):
                    out[n, k] += rows[n, j] * columns[j, k]


@njit(**OPTIONS)
def combine(matrix, values, out):
    """Put sums over j of matrix[i, j] x values[:, j] into out[:, i], float32, summed in float64."""
    total = np.empty(_TOGETHER, np.float64)
    for outer in range(len(values)):
        for i in range(len(matrix)):
            for begin in range(0, values.shape[2], _TOGETHER):
                part = out[outer, i, begin : begin + _TOGETHER]
                some = total[: len(part)]
                some[:] = 0.0
                for j in range(matrix.shape[1]):
                    weight, of = matrix[i, j], values[outer, j, begin:]
                    for k in range(len(part)):
                        some[k] += weight * of[k]
                for k in range(len(part)):
                    part[k] = some[k]
