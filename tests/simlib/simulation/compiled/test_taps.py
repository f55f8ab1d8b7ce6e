"""The six taps: curves go through their points, and the weights are those of the fit they tell."""

from math import comb, factorial

import numpy as np
from numpy.polynomial import Polynomial
from scipy.linalg import null_space

from simlib.simulation.compiled.taps import PAIRS, TAPS, WEIGHTS, coefficients, tap_weights

LINES_SIGMA, PIXEL = 2.6, 2.0  # points
LEAST = 1e-8  # that any wave weighs
# What the derivatives weigh: the most that a Doppler shift of 0.003 takes of them.
DERIVATIVES = {0: 1.0, 2: 0.02, 4: 2.7e-4}
CONSTANT = 100.0  # more than another wave
FREQUENCIES, PLACES, ROUNDS = 64, 8, 5


def fitted() -> np.ndarray:
    """Return the weights, (powers, pairs), by least squares over waves and places."""
    powers = len(WEIGHTS)
    turn = np.pi * np.arange(FREQUENCIES) / FREQUENCIES  # radians a point
    share = np.exp(-0.5 * (LINES_SIGMA * turn) ** 2) * np.abs(np.sinc(PIXEL * turn / (2 * np.pi)))
    share = share + LEAST
    share[0] *= CONSTANT
    offsets = np.arange(TAPS) - (TAPS - 1) / 2

    def taps(place: float, order: int = 0) -> np.ndarray:
        """Return the derivative of each tap's weight, (taps, unknowns)."""
        rows = np.zeros((TAPS, powers, PAIRS))
        for power in range(order, powers):
            bend = factorial(order) * comb(power, order)
            for pair in range(PAIRS):
                rows[pair, power, pair] = bend * place ** (power - order)
                rows[-1 - pair, power, pair] = (-1) ** power * bend * place ** (power - order)
        return rows.reshape(TAPS, -1)

    def waves(place: float, order: int = 0) -> np.ndarray:
        return np.asarray(np.exp(1j * np.outer(turn, offsets - place)) @ taps(place, order))

    at_point, ends = waves(0.5).real, taps(0.5)
    fixed = np.stack([at_point[0], ends[0], ends[1] - ends[5], ends[2] - ends[4]])
    one = np.linalg.lstsq(fixed, np.eye(4)[0], rcond=None)[0]
    free = null_space(fixed)
    places = np.concatenate([[-0.5], 0.5 * np.polynomial.legendre.leggauss(PLACES)[0], [0.5]])
    missed = [
        weight * (waves(place, order) - ((1j * turn) ** order)[:, np.newaxis] * at_point)
        for place in places
        for order, weight in DERIVATIVES.items()
    ]
    response = np.sinc(turn / (2 * np.pi)) ** TAPS
    for _ in range(ROUNDS):
        rows = np.concatenate([(share / response)[:, np.newaxis] * part for part in missed])
        rows = np.concatenate([rows.real, rows.imag])
        weights = one + free @ np.linalg.lstsq(rows @ free, -rows @ one, rcond=None)[0]
        response = at_point @ weights
    return np.asarray(weights.reshape(powers, PAIRS))


def curve(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the curve through values at points 0, 1, ... at some places."""
    kept = coefficients(values[:, np.newaxis])[:, 0]
    lower = np.floor(places).astype(int)
    taps = np.stack([tap_weights(t) for t in places - lower - 0.5], axis=1)
    around = np.stack([kept[lower + tap - (PAIRS - 1)] for tap in range(TAPS)])
    return np.asarray((taps * around).sum(axis=0))


def test_the_weights_are_the_fit_s() -> None:
    assert np.abs(fitted() - WEIGHTS).max() < 2e-7


def test_a_constant_stays_one_wherever_it_is_asked_for() -> None:
    sums = [tap_weights(place).sum() for place in np.linspace(-0.5, 0.5, 41)]
    assert np.abs(np.array(sums) - 1.0).max() < 3e-8


def test_a_curve_goes_through_its_points_and_has_no_steps() -> None:
    values = np.random.default_rng(5).normal(size=200)
    points = np.arange(30, 170)
    assert np.abs(curve(values, points + 0.0) - values[points]).max() < 1e-6
    assert np.abs(curve(values, points - 1e-9) - values[points]).max() < 1e-6


def test_lines_of_the_instrument_are_found_between_the_points() -> None:
    points, places = np.arange(200.0), np.random.default_rng(6).uniform(80.0, 120.0, 400)
    for sigma, bound in ((2.4, 1e-6), (2.6, 5e-7), (3.4, 2e-7)):
        line = lambda x, s=sigma: np.exp(-0.5 * ((x - 100.2) / s) ** 2)  # noqa: E731
        assert np.abs(curve(line(points), places) - line(places)).max() < bound


def test_the_curve_s_curvature_is_the_line_s() -> None:
    """Widening by a thousandth of the variance asks for a thousandth of the curvature."""
    sigma, step = 2.6, np.linspace(-0.5, 0.5, 21)
    points = np.arange(200.0)
    kept = coefficients(np.exp(-0.5 * ((points - 100.2) / sigma) ** 2)[:, np.newaxis])[:, 0]
    bends = []
    for pair in range(PAIRS):
        tap = Polynomial(WEIGHTS[:, pair]).deriv(2)
        early, late = kept[100 - (PAIRS - 1) + pair], kept[100 + PAIRS - pair]
        bends.append(tap(step) * early + tap(-step) * late)
    from_line = (100.5 + step - 100.2) / sigma
    truth = (from_line**2 - 1.0) / sigma**2 * np.exp(-0.5 * from_line**2)
    assert np.abs(sum(bends) - truth).max() < 1e-4
