"""Fits find the most probable star, whatever is wrong with a row, and say how well it is known."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.fit.generator import STARS as NAMES
from simlib.fit.problem import problem_of
from simlib.fit.solve import Tolerance, fit_spectra
from tests.simlib.fit.toy_stars import STARS, config, drawn, generator, problem, seen

PIXELS = generator().pixels
FAR = np.array([[150.0, 0.5, 0.3, -0.1, 2e-5, np.nan]])  # from the truth, as networks are


def objective(stars, noisy, variance):
    """chi² and priors (rows,), calibration and offset being the best: by least squares."""
    known = problem()
    flux = known.generator.look(stars, is_sloped=False)[0].astype(float)
    found = []
    for row in range(len(stars)):
        directions = known.calibration.directions(flux[row]) / np.sqrt(variance[row])
        residual = (noisy[row] - flux[row]) / np.sqrt(variance[row])
        matrix = np.concatenate([directions.T, np.eye(len(directions))])
        right = np.concatenate([residual, np.zeros(len(directions))])
        best = np.linalg.lstsq(matrix, right, rcond=None)[0]
        star = (stars[row] - known.expected) / known.sigma
        found.append(np.square(right - matrix @ best).sum() + np.square(star).sum())
    return np.array(found)


def test_a_bright_star_is_found_from_far_away():
    stars = drawn(8, seed=3)
    noisy, variance, clean = seen(stars, snr=1000.0)
    start = problem().stars(problem().unknowns_of(stars + FAR))
    found = fit_spectra(problem(), noisy, variance, start)
    assert found.is_converged.all() and found.is_sound.all()
    assert np.abs(found.spectra / clean - 1.0).mean() < 3e-4
    assert np.abs(found.stars[:, 4] - stars[:, 4]).max() < 2e-6
    assert (found.objective < found.start_objective).all()
    assert 5.2 < found.evaluations.mean() < 8  # steps are damped at first


def test_errors_are_as_large_as_they_are_said_to_be():
    stars = drawn(150, seed=1)
    noisy, variance, _ = seen(stars, snr=100.0)
    found = fit_spectra(problem(), noisy, variance, stars)
    sigma = np.sqrt(np.einsum("nii->ni", found.covariance))
    pulls = ((found.stars - stars) / sigma)[~found.is_on_wall]
    assert len(pulls) > 50
    # Evenly drawn stars are not quite normal: where little is known, pulls are a little narrow.
    spread = pulls.std(axis=0)
    assert spread.min() > 0.8 and spread.max() < 1.25
    assert (sigma < 1.01 * problem().sigma).all()
    assert np.median(sigma[:, 4]) < 1e-5


def test_what_is_found_is_the_most_probable():
    """No star nearby is more so, by another sum."""
    stars = drawn(3, seed=4)
    noisy, variance, _ = seen(stars, snr=30.0)
    found = fit_spectra(problem(), noisy, variance, stars, Tolerance(gain=1e-4, near=0.0))
    assert found.objective == pytest.approx(objective(found.stars, noisy, variance), abs=0.1)
    low, high = generator().limits.T
    sigma = np.sqrt(np.einsum("nii->ni", found.covariance))
    for number in range(len(NAMES)):
        for side in (-1.0, 1.0):
            there = found.stars.copy()
            there[:, number] = np.clip(there[:, number] + side * sigma[:, number], low[number],
                                       high[number])  # fmt: skip
            assert (objective(there, noisy, variance) > found.objective - 0.05).all()


def test_the_start_s_objective_is_its_star_behind_the_best_calibration():
    stars = drawn(3, seed=5)
    stars[:, 5] = 0.05
    noisy, variance, _ = seen(stars, snr=30.0)
    start = stars + np.array([60.0, 0.1, 0.1, 0.0, 0.0, 0.0])
    found = fit_spectra(problem(), noisy, variance, start)
    known = objective(start, noisy, variance)  # with the reddening expected
    assert (found.start_objective < known + 0.1).all()
    reddened = [start + np.eye(6)[5] * off for off in np.linspace(-0.05, 0.05, 21)]
    best = np.minimum.reduce([objective(one, noisy, variance) for one in reddened])
    assert found.start_objective == pytest.approx(best, abs=0.2)


def test_the_walls_of_the_grid_hold():
    stars = STARS[[1, 1]]
    noisy, variance, clean = (part[[0, 0]] for part in seen(stars, snr=60.0))
    start = np.array([[4300.0, 2.5, -0.5, 0.2, -0.0021, 0.05], stars[0]])
    found = fit_spectra(problem(), noisy, variance, start)
    low, high = generator().limits.T
    assert found.is_converged.all() and found.is_on_wall.all()
    assert (found.stars >= low).all() and (found.stars <= high).all()
    assert np.abs(found.spectra / clean - 1.0).mean() < 3e-3
    assert found.objective[0] == pytest.approx(found.objective[1], abs=0.2)


def test_a_masked_pixel_is_not_seen():
    stars = drawn(4, seed=6)
    noisy, variance, _ = seen(stars, snr=20.0)
    gap = slice(1500, 1500 + PIXELS // 20)
    odd = np.repeat([[np.nan], [np.inf], [1e30], [-3.0]], PIXELS // 20, axis=1)
    unseen = np.repeat([[0.2], [0.2], [np.inf], [np.nan]], PIXELS // 20, axis=1)
    masked, hidden = variance.copy(), noisy.copy()
    masked[:, gap] = np.inf
    hidden[:, gap], variance[:, gap] = odd, unseen
    zero, negative = variance.copy(), variance.copy()
    zero[2:, gap], negative[2:, gap] = 0.0, -1.0
    found = [
        fit_spectra(problem(), *pair, stars)
        for pair in ((noisy, masked), (hidden, variance), (hidden, zero), (hidden, negative))
    ]
    for other in found[1:]:
        assert np.array_equal(other.stars, found[0].stars)
        assert np.array_equal(other.spectra, found[0].spectra)
    assert np.isfinite(found[0].spectra).all()


def test_half_a_spectrum_tells_less_and_none_what_is_known_beforehand():
    stars = drawn(3, seed=7)
    noisy, variance, _ = seen(stars, snr=20.0)
    whole = fit_spectra(problem(), noisy, variance, stars)
    variance[0, ::2] = np.inf
    variance[1] = np.inf
    variance[2, 1:] = np.inf  # a single pixel
    found = fit_spectra(problem(), noisy, variance, stars)
    assert found.is_converged.all()
    assert found.is_blind.tolist() == [False, True, False]
    assert found.is_sound.tolist() == [True, False, True]
    volume = [np.linalg.det(one.covariance / problem().sigma ** 2) for one in (whole, found)]
    assert (volume[1] > volume[0]).all()
    assert np.allclose(found.stars[1], problem().expected, rtol=1e-6)
    assert np.allclose(found.covariance[1], np.diag(problem().sigma ** 2))
    assert found.objective[1] == pytest.approx(0.0, abs=1e-6) and np.isfinite(found.spectra).all()


def test_one_bad_row_is_told_and_spoils_no_other():
    stars = drawn(5, seed=8)
    noisy, variance, _ = seen(stars, snr=20.0)
    alone = fit_spectra(problem(), noisy, variance, stars)
    noisy[1] = 1e30  # its square is no number any more
    noisy[3] = np.where(np.arange(PIXELS) % 2, 9e5, -9e5)  # no star at all
    start = stars.copy()
    start[4, [0, 1, 2, 3, 5]] = np.nan  # what is expected, but for the redshift
    found = fit_spectra(problem(), noisy, variance, start)
    assert found.is_blind.tolist() == [False, True, False, False, False]
    assert found.is_converged[[0, 1, 2, 4]].all() and found.misfit[3] > 1e12
    assert np.allclose(found.stars[[0, 2]], alone.stars[[0, 2]], rtol=1e-5)
    assert np.allclose(found.spectra[[0, 2]], alone.spectra[[0, 2]], rtol=1e-5)
    assert found.objective[4] == pytest.approx(alone.objective[4], abs=1.0)


def test_rows_and_their_order_change_nothing():
    stars = drawn(70, seed=9)  # more than are fitted together
    noisy, variance, _ = seen(stars, snr=15.0)
    whole = fit_spectra(problem(), noisy, variance, stars)
    order = np.random.default_rng(0).permutation(70)
    mixed = fit_spectra(problem(), noisy[order], variance[order], stars[order])
    assert np.abs(mixed.spectra / whole.spectra[order] - 1.0).mean() < 2e-5
    sigma = np.sqrt(np.einsum("nii->ni", whole.covariance))[order]
    assert np.abs((mixed.stars - whole.stars[order]) / sigma).max() < 0.05
    none = fit_spectra(problem(), noisy[:0], variance[:0], stars[:0])
    assert none.spectra.shape == (0, PIXELS) and none.covariance.shape == (0, 6, 6)


def test_the_faintest_stars_converge():
    stars = drawn(20, seed=10)
    noisy, variance, _ = seen(stars, snr=2.0)
    found = fit_spectra(problem(), noisy, variance, np.full((20, 6), np.nan))
    assert found.is_converged.all() and np.isfinite(found.stars).all()


def test_a_range_without_room_is_known():
    settings = config("stellar.logg=[3.5, 3.5]", "stellar.ebv=[0, 0]").stellar
    known = problem_of(generator(), settings, problem().calibration)
    stars = drawn(3, seed=11)
    stars[:, 1], stars[:, 5] = 3.5, 0.0
    noisy, variance, _ = seen(stars, snr=30.0)
    found = fit_spectra(known, noisy, variance, np.full((3, 6), np.nan))
    assert (found.stars[:, 1] == 3.5).all() and (found.stars[:, 5] == 0.0).all()
    assert (found.covariance[:, 1] == 0.0).all()


def test_a_fit_that_was_not_given_time_says_so():
    stars = drawn(4, seed=12)
    noisy, variance, _ = seen(stars, snr=200.0)
    start = problem().stars(problem().unknowns_of(stars + FAR))
    found = fit_spectra(problem(), noisy, variance, start, Tolerance(evaluations=2))
    assert (found.evaluations == 2).all() and not found.is_sound.any()


def test_absent_nodes_are_told():
    made = replace(generator(), present=np.zeros_like(generator().present))
    known = replace(problem(), generator=made)
    noisy, variance, _ = seen(STARS[:1], snr=30.0)
    found = fit_spectra(known, noisy, variance, STARS[:1])
    assert found.is_absent.all() and not found.is_sound.any()


def test_shapes_that_do_not_fit_are_refused():
    noisy, variance, _ = seen(STARS, snr=30.0)
    for wrong in ((noisy[:1], variance, STARS), (noisy, variance[:, 1:], STARS),
                  (noisy, variance, STARS[:, :5])):  # fmt: skip
        with pytest.raises(ValueError, match=r"should be \(rows, 4096\)"):
            fit_spectra(problem(), *wrong)
