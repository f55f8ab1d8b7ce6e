"""From a rest axis to pixels and back: against SciPy's splines, and each other."""

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from trainlib.rest.axis import RestAxis, spline_coefficients, spline_samples

AXIS = RestAxis(observed=710.0, rest=708.5, pitch=0.05, pixels=300, points=360)
SHIFTS = np.array([-0.0008, -3e-4, 0.0, 2.2e-4, 0.0007])


def smooth_curves(rows: int = 5) -> np.ndarray:
    x = np.arange(AXIS.points)
    draw = np.random.default_rng(3)
    centres, widths = draw.uniform(60, 300, (rows, 20, 1)), draw.uniform(1.7, 6.0, (rows, 20, 1))
    return 1.0 - 0.1 * np.exp(-0.5 * ((x - centres) / widths) ** 2).sum(axis=1)


def places(shift: float) -> np.ndarray:
    """Return where pixels of a star of this redshift lie at rest, in points."""
    seen = AXIS.observed + AXIS.pitch * np.arange(AXIS.pixels)
    return (seen / (1.0 + shift) - AXIS.rest) / AXIS.pitch


def test_pixels_see_the_spline_through_the_samples():
    samples = smooth_curves()
    seen = AXIS.gather(spline_coefficients(samples), SHIFTS)
    for row, shift, found in zip(samples, SHIFTS, seen, strict=True):
        spline = make_interp_spline(np.arange(AXIS.points), row, k=5)
        assert np.abs(found - spline(places(shift))).max() < 2e-6
    assert np.allclose(spline_samples(spline_coefficients(samples))[:, 2:-2], samples[:, 2:-2],
                       atol=1e-6)  # fmt: skip


def test_a_spectrum_without_a_shift_is_the_arm():
    samples = smooth_curves()
    axis = RestAxis(observed=710.0, rest=710.0 - 30 * 0.05, pitch=0.05, pixels=300, points=360)
    seen = axis.gather(spline_coefficients(samples), np.zeros(5))
    assert np.allclose(seen, samples[:, axis.arm(0.0)], atol=2e-6)


def test_scatter_is_the_exact_adjoint_of_gather():
    draw = np.random.default_rng(0)
    rows = 300  # more than one thread's
    shifts = draw.uniform(-8e-4, 8e-4, rows)
    coefficients = draw.standard_normal((rows, AXIS.points)).astype(np.float32)
    values = draw.standard_normal((rows, AXIS.pixels)).astype(np.float32)
    there = (AXIS.gather(coefficients, shifts).astype(float) * values).sum(axis=1)
    back = (coefficients.astype(float) * AXIS.scatter(values, shifts)).sum(axis=1)
    size = np.linalg.norm(coefficients, axis=1) * np.linalg.norm(values, axis=1)
    assert (np.abs(there - back) < 1e-6 * size).all()
    shared = AXIS.gather(coefficients[:1], shifts)
    assert np.array_equal(shared, AXIS.gather(np.repeat(coefficients[:1], rows, axis=0), shifts))


def test_weights_of_every_other_point_sum_smooth_curves_as_the_pixels_do():
    weights = np.random.default_rng(2).uniform(0.0, 2.0, (5, AXIS.pixels)).astype(np.float32)
    weights[:, 100:140] = 0.0
    found = AXIS.weigh(weights, SHIFTS)
    assert found.shape == (5, AXIS.points // 2) and found.min() == 0.0
    assert np.allclose(found.sum(axis=1), weights.sum(axis=1), rtol=1e-5)
    point = np.arange(AXIS.points)
    for row, shift, sums in zip(weights, SHIFTS, found, strict=True):
        assert sums @ point[::2] == pytest.approx(row @ places(shift), rel=1e-5)
        there = row @ np.sin(places(shift) / 7.0)
        assert abs(sums @ np.sin(point[::2] / 7.0) - there) < 0.01 * row.sum()


def test_a_row_does_not_depend_on_the_rows_beside_it():
    draw = np.random.default_rng(1)
    shifts = draw.uniform(-8e-4, 8e-4, 300)
    coefficients = draw.standard_normal((300, AXIS.points)).astype(np.float32)
    whole = AXIS.gather(coefficients, shifts)
    order = draw.permutation(300)
    assert np.array_equal(AXIS.gather(coefficients[order], shifts[order]), whole[order])
    assert np.array_equal(AXIS.gather(coefficients[7:8], shifts[7:8]), whole[7:8])


def test_a_moved_curve_is_seen_as_one_of_another_redshift():
    curves = spline_coefficients(smooth_curves())
    change = np.array([-5e-5, -2e-5, 0.0, 3e-5, 6e-5])  # up to 0.9 of a point
    moved = AXIS.gather(AXIS.move(curves, change), np.zeros(5))
    expected = AXIS.gather(curves, 1.0 / (1.0 + change) - 1.0)
    inside = slice(10, -10)
    assert np.abs(moved - expected)[:, inside].max() < 2e-4
    assert np.abs(AXIS.gather(curves, np.zeros(5)) - expected)[:, inside].max() > 5e-3


def test_a_smooth_curve_is_known_at_rest_and_held_beyond_the_arm():
    seen = 1.0 + 0.3 * np.sin(np.arange(AXIS.pixels) / 90.0)[None] * np.ones((5, 1))
    at_rest = AXIS.at_rest(seen, SHIFTS)
    points = AXIS.rest + AXIS.pitch * np.arange(AXIS.points)
    for row, shift in zip(at_rest, SHIFTS, strict=True):
        pixel = (points * (1.0 + shift) - AXIS.observed) / AXIS.pitch
        expected = np.interp(pixel, np.arange(AXIS.pixels), seen[0])
        assert np.abs(row - expected).max() < 1e-4
    assert at_rest[0, -1] == pytest.approx(seen[0, -1], abs=1e-4)


def test_a_redshift_beyond_the_axis_is_refused():
    with pytest.raises(ValueError, match="leave the rest axis of 360 points"):
        AXIS.gather(np.ones((1, AXIS.points), np.float32), np.array([0.01]))
