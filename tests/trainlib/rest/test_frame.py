"""The linear solution in the rest frame: against the same written with dense matrices."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainlib.rest.toy_frame import AXIS, curves, observed, statistics
from trainlib.rest.axis import spline_coefficients, spline_samples
from trainlib.rest.denoiser import RestDenoiser
from trainlib.rest.frame import RestFrame, weights_of
from trainlib.rest.statistics import statistics_in

STATISTICS = statistics()


def test_the_basis_is_orthonormal_in_the_metric_and_leaves_nothing_out():
    told = STATISTICS
    frame = RestFrame(told, 3)
    gram = (frame.values * told.metric) @ frame.values.T
    assert np.allclose(gram, np.eye(len(gram)), atol=1e-4)
    true = spline_coefficients(curves(50, 77))
    back = told.mean + frame.coefficients(true) @ told.vectors
    assert np.abs(back - true).mean() < 1e-3
    spread = np.square(frame.coefficients(true)).mean(axis=0)
    assert np.allclose(spread[:4] / told.eigenvalues[:4], 1.0, atol=0.7)


def test_the_statistics_are_found_again_in_a_state():
    again = statistics_in(vars(STATISTICS))
    assert again.rest_axis == AXIS
    assert all(np.array_equal(a, b) for a, b in
               zip(vars(again).values(), vars(STATISTICS).values(), strict=True))  # fmt: skip
    with pytest.raises(KeyError):
        statistics_in({"mean": STATISTICS.mean})


def test_weights_are_inverse_variances_of_mean_one_never_far_above_the_medians():
    variance = np.full((3, 400), 0.04, np.float32)
    variance[1, :100] = 0.0004
    variance[2, 40:60] = np.inf
    weight, level = weights_of(variance)
    assert np.allclose(weight.mean(axis=1), 1.0, atol=1e-5)
    assert weight[1, 0] / weight[1, 200] == pytest.approx(4.0)
    assert bool((weight[2, 40:60] == 0).all()) and bool((weight[2, :40] > 1).all())
    # the variance of sum(weight x noise) / pixels is level² / pixels where weights are true
    assert float(level[0]) == pytest.approx(0.2)
    assert float(level[2]) == pytest.approx(0.2 * (400 / 380) ** 0.5, rel=1e-5)
    blind = weights_of(np.full((1, 400), np.inf, np.float32))
    assert bool((blind[0] == 0).all()) and bool(np.isfinite(blind[1]).all())


@pytest.mark.parametrize("step", [2, 8])
def test_whatever_pixels_are_masked_the_others_tell_the_level(step):
    _, variance, _, _ = observed(3, 0.04)
    expected = variance.copy()
    variance[:2, ::step] = np.inf
    weight, level = weights_of(variance)
    whole = weights_of(expected)[1]
    seen = (np.arange(400) % step != 0).mean()
    assert bool((weight[:2, ::step] == 0).all())
    assert np.allclose(level[:2] * seen**0.5, whole[:2], rtol=0.05)
    assert np.array_equal(level[2:], whole[2:])


def dense(flux, variance, redshift, is_whole: bool) -> np.ndarray:
    """Return the solution of one spectrum with matrices written out.

    is_whole: by the products of curves at pixels themselves, not at every other point.
    """
    told = STATISTICS
    p, mean = told.vectors.astype(float), told.mean[None]
    weight, level = (part.astype(float) for part in weights_of(variance))
    residual = weight * (flux - AXIS.gather(mean, redshift))
    right = p @ AXIS.scatter(residual, redshift)[0] / level**2
    if is_whole:
        seen, sums = AXIS.gather(p, np.repeat(redshift, len(p))), weight[0]
    else:
        seen, sums = spline_samples(p)[:, ::2], np.zeros(AXIS.points // 2)
        first, step = (float(part[0]) for part in AXIS.places(redshift))
        place = (first + step * np.arange(AXIS.pixels)) / 2.0
        for k, share in ((0, 1.0 - place % 1.0), (1, place % 1.0)):
            np.add.at(sums, place.astype(int) + k, share * weight[0])
    matrix = np.diag(1.0 / told.eigenvalues) + (seen * sums) @ seen.T / level**2
    return np.linalg.solve(matrix, right)


@pytest.mark.parametrize("is_masked", [False, True])
def test_conjugate_gradients_reach_the_solution(is_masked):
    flux, variance, _, redshift = observed(4, 0.03)
    variance = variance * np.linspace(0.3, 3.0, 400, dtype=np.float32)
    if is_masked:
        variance[:, 100:130] = np.inf
    expected, true = (
        np.stack([
            dense(flux[n : n + 1], variance[n : n + 1], redshift[n : n + 1], is_whole)
            for n in range(4)
        ])
        for is_whole in (False, True)
    )  # fmt: skip
    size = np.abs(expected).max()
    off = []
    for steps in (0, 1, 3, 12):
        found, _ = RestFrame(STATISTICS, steps).solved(flux, variance, redshift)
        off.append(np.abs(found - expected).max() / size)
    assert off[0] > off[1] > off[2] > off[3]
    assert off[2] < 0.03 and off[3] < 1e-4
    assert np.abs(expected - true).max() < 0.02 * size


def test_no_step_is_needed_with_mean_weights_in_the_middle_of_every_class_of_redshifts():
    low, high = STATISTICS.redshifts
    redshift = low + (high - low) * (np.arange(16) + 0.5) / 16
    flux = np.random.default_rng(3).standard_normal((16, 400)).astype(np.float32)
    variance = np.tile(np.square(0.03 * STATISTICS.noise_shape), (16, 1))
    found, expected = (
        RestFrame(STATISTICS, steps).solved(flux, variance, redshift)[0] for steps in (0, 12)
    )
    size = np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-4 * size
    alone, _ = RestFrame(STATISTICS, 0).solved(flux[5:6], variance[5:6], redshift[5:6])
    assert np.abs(alone[0] - found[5]).max() < 1e-5 * size


def test_what_stands_in_a_masked_pixel_changes_nothing_and_a_gap_costs_its_pixels_alone():
    flux, variance, clean, redshift = observed(200, 0.02)
    variance[:, 150:170] = np.inf
    struck = flux.copy()
    struck[:, 155] = 1e4
    frame = RestFrame(STATISTICS, 3)
    whole, gap, hit = (
        frame.spectra(frame.solved(x, v, redshift)[0], redshift)
        for x, v in ((flux, observed(200, 0.02)[1]), (flux, variance), (struck, variance))
    )
    assert np.array_equal(gap, hit)
    error = [np.square(made - clean).mean() ** 0.5 for made in (whole, gap)]
    assert error[1] < 1.15 * error[0] * (400 / 380) ** 0.5


def test_a_change_over_the_mean_flux_has_the_size_that_is_told():
    frame = RestFrame(STATISTICS, 3)
    change = np.random.default_rng(0).standard_normal((7, 6))
    mean = spline_samples(STATISTICS.mean[None])
    over_mean = (change @ frame.values / mean)[:, AXIS.arm(0.0)]
    found = np.square(change @ frame.relative).sum(axis=1)
    assert np.allclose(found, np.square(over_mean).mean(axis=1), rtol=1e-3)


@pytest.mark.parametrize(("nearest", "other"), [(5e-3, 5.6e-3), (-5e-3, -5.6e-3)])
def test_where_no_star_is_at_rest_the_arm_is_that_of_the_nearest_redshift(nearest, other):
    rest = AXIS.observed / (1.0 + nearest) - 40 * AXIS.pitch
    axis, window = np.array([AXIS.observed, rest, AXIS.pitch]), np.sort([nearest, other])
    frame = RestFrame(replace(STATISTICS, axis=axis, redshifts=window), 3)
    mean = STATISTICS.mean[np.newaxis]
    arm = slice(40, 40 + round(AXIS.pixels / (1.0 + nearest)))
    assert np.allclose(frame.over_mean, (frame.values / spline_samples(mean))[:, arm])
    seen = frame.axis.gather(mean, np.array([nearest]))[0]
    assert np.array_equal(RestDenoiser(frame, 2, lambda *_: pytest.fail()).typical, seen)


def test_the_spread_is_that_of_drawn_spectra():
    frame = RestFrame(STATISTICS, 3)
    variances = STATISTICS.eigenvalues[None] * np.linspace(0.2, 1.0, 6, dtype=np.float32)
    redshift = np.full(1, 3e-4)
    draw = np.float32(np.random.default_rng(1).standard_normal((9000, 6))) * variances**0.5
    drawn = frame.spectra(draw, np.repeat(redshift, 9000)).std(axis=0)
    found = frame.spread(variances, redshift)[0]
    assert (np.abs(found - drawn) / drawn.mean()).max() < 0.15
