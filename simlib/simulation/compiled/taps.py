"""What six coefficients on half pixels weigh in the value at a place between the middle two.

Each weight is a polynomial of degree 5 in the place t, -1/2 <= t <= 1/2, in points from the middle.
A B-spline of that degree would serve any curve; these polynomials serve curves that an instrument's
lines have smoothed, and five times better. They are the least-squares fit over waves, each weighed
as what a Gaussian of 1.3 pixels (2.6 points) and the pixel's box leave of it, of the value, the
second and the fourth derivative, such that a constant stays one and curves are continuous and go
through their points. `tests/simlib/simulation/compiled/test_taps.py` repeats the fit.
"""

import numpy as np
from scipy.linalg import solveh_banded

TAPS = 6
PAIRS = TAPS // 2
# Of the taps before the middle, the outermost first, in powers of t. The tap that mirrors one has
# the same weights with t changed in sign.
WEIGHTS = np.array([
    [0.00081777, 0.07549447, 0.42368775],
    [-0.00618961, -0.20823685, -0.34433799],
    [0.01823328, 0.19531276, -0.21354605],
    [-0.02679643, -0.03297728, 0.23289301],
    [0.02065842, -0.06200058, 0.04134216],
    [-0.00713232, 0.03607815, -0.07254357],
])  # fmt: skip


def tap_weights(place: float) -> np.ndarray:
    """Return the weights of the six taps, (6,), at a place between the middle two."""
    powers = place ** np.arange(len(WEIGHTS))
    mirrored = (-place) ** np.arange(len(WEIGHTS))
    return np.concatenate([powers @ WEIGHTS, (mirrored @ WEIGHTS)[::-1]])


def coefficients(values: np.ndarray) -> np.ndarray:
    """Return what the taps must weigh for curves to go through columns of values (m, n).

    Curves ring at their ends: some ten points there are not to be used.
    """
    at_point = tap_weights(0.5)[PAIRS:]  # weights of a point itself and of the next two
    bands = np.repeat(at_point[:, np.newaxis], len(values), axis=1)
    return np.asarray(solveh_banded(bands, values, lower=True))
