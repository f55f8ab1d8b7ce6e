"""The linear solution in the rest frame: against the same written with dense matrices."""

import numpy as np
import pytest
import torch

from tests.trainlib.rest.toy_frame import AXIS, curves, observed, statistics
from trainlib.models.rest.axis import spline_coefficients, spline_samples
from trainlib.models.rest.frame import RestFrame, weights_of
from trainlib.models.rest.statistics import statistics_in

STATISTICS = statistics()


def test_the_basis_is_orthonormal_in_the_metric_and_leaves_nothing_out():
    told = STATISTICS
    frame = RestFrame(told, 3)
    gram = (frame.values * told.metric) @ frame.values.T
    assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-4)
    true = torch.from_numpy(spline_coefficients(curves(50, 77)))
    back = told.mean + frame.coefficients(true) @ told.vectors
    assert float((back - true).abs().mean()) < 1e-3
    spread = frame.coefficients(true).square().mean(dim=0)
    assert torch.allclose(spread[:4] / told.eigenvalues[:4], torch.ones(4), atol=0.7)


def test_the_statistics_are_found_again_in_a_state():
    again = statistics_in(vars(STATISTICS))
    assert again.rest_axis == AXIS
    assert all(torch.equal(a, b) for a, b in
               zip(vars(again).values(), vars(STATISTICS).values(), strict=True))  # fmt: skip
    with pytest.raises(KeyError):
        statistics_in({"mean": STATISTICS.mean})


def test_weights_are_inverse_variances_of_mean_one_never_far_above_the_medians():
    variance = torch.full((3, 400), 0.04)
    variance[1, :100] = 0.0004
    variance[2, 40:60] = torch.inf
    weight, level = weights_of(variance)
    assert torch.allclose(weight.mean(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(weight[1, 0] / weight[1, 200], torch.tensor(4.0))
    assert bool((weight[2, 40:60] == 0).all()) and bool((weight[2, :40] > 1).all())
    # the variance of sum(weight x noise) / pixels is level² / pixels where weights are true
    assert float(level[0]) == pytest.approx(0.2)
    assert float(level[2]) == pytest.approx(0.2 * (400 / 380) ** 0.5, rel=1e-5)
    blind = weights_of(torch.full((1, 400), torch.inf))
    assert bool((blind[0] == 0).all()) and bool(blind[1].isfinite().all())


@pytest.mark.parametrize("step", [2, 8])
def test_whatever_pixels_are_masked_the_others_tell_the_level(step):
    _, variance, _, _ = observed(3, 0.04)
    expected = variance.clone()
    variance[:2, ::step] = torch.inf
    weight, level = weights_of(variance)
    whole = weights_of(expected)[1]
    seen = (torch.arange(400) % step != 0).sum() / 400
    assert bool((weight[:2, ::step] == 0).all())
    assert torch.allclose(level[:2] * seen.sqrt(), whole[:2], rtol=0.05)
    assert torch.equal(level[2:], whole[2:])


def dense(flux, variance, redshift, is_whole: bool) -> np.ndarray:
    """Return the solution of one spectrum with matrices written out.

    is_whole: by the products of curves at pixels themselves, not at every other point.
    """
    told = STATISTICS
    p, mean = told.vectors.numpy().astype(float), told.mean.numpy()[None]
    weight, level = (part.numpy().astype(float) for part in weights_of(variance))
    residual = weight * (flux.numpy() - AXIS.gather(mean, redshift))
    right = p @ AXIS.scatter(residual, redshift)[0] / level**2
    if is_whole:
        seen, sums = AXIS.gather(p, np.repeat(redshift, len(p))), weight[0]
    else:
        seen, sums = spline_samples(p)[:, ::2], np.zeros(AXIS.points // 2)
        first, step = (float(part[0]) for part in AXIS.places(redshift))
        place = (first + step * np.arange(AXIS.pixels)) / 2.0
        for k, share in ((0, 1.0 - place % 1.0), (1, place % 1.0)):
            np.add.at(sums, place.astype(int) + k, share * weight[0])
    matrix = np.diag(1.0 / told.eigenvalues.numpy()) + (seen * sums) @ seen.T / level**2
    return np.linalg.solve(matrix, right)


@pytest.mark.parametrize("is_masked", [False, True])
def test_conjugate_gradients_reach_the_solution(is_masked):
    flux, variance, _, redshift = observed(4, 0.03)
    variance = variance * torch.linspace(0.3, 3.0, 400)
    if is_masked:
        variance[:, 100:130] = torch.inf
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
        off.append(np.abs(found.numpy() - expected).max() / size)
    assert off[0] > off[1] > off[2] > off[3]
    assert off[2] < 0.03 and off[3] < 1e-4
    assert np.abs(expected - true).max() < 0.02 * size


def test_what_stands_in_a_masked_pixel_changes_nothing_and_a_gap_costs_its_pixels_alone():
    flux, variance, clean, redshift = observed(200, 0.02)
    variance[:, 150:170] = torch.inf
    struck = flux.clone()
    struck[:, 155] = 1e4
    frame = RestFrame(STATISTICS, 3)
    whole, gap, hit = (
        frame.spectra(frame.solved(x, v, redshift)[0], redshift)
        for x, v in ((flux, observed(200, 0.02)[1]), (flux, variance), (struck, variance))
    )
    assert torch.equal(gap, hit)
    error = [float((made - clean).square().mean().sqrt()) for made in (whole, gap)]
    assert error[1] < 1.15 * error[0] * (400 / 380) ** 0.5


def test_a_change_over_the_mean_flux_has_the_size_that_is_told():
    frame = RestFrame(STATISTICS, 3)
    change = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    mean = torch.from_numpy(spline_samples(STATISTICS.mean[None].numpy()))
    over_mean = (change @ frame.values / mean)[:, AXIS.arm]
    found = (change @ frame.relative).square().sum(dim=1)
    assert torch.allclose(found, over_mean.square().mean(dim=1), rtol=1e-3)


def test_the_spread_is_that_of_drawn_spectra():
    frame = RestFrame(STATISTICS, 3)
    variances = STATISTICS.eigenvalues[None] * torch.linspace(0.2, 1.0, 6)
    redshift = np.full(1, 3e-4)
    draw = torch.randn(4000, 6, generator=torch.Generator().manual_seed(1)) * variances.sqrt()
    drawn = frame.spectra(draw, np.repeat(redshift, 4000)).std(dim=0)
    found = frame.spread(variances, redshift)[0]
    assert float(((found - drawn).abs() / drawn.mean()).max()) < 0.15
