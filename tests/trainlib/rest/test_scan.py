"""Redshifts from noisy spectra: the evidence against a dense Gaussian, and what is said of it."""

import numpy as np
import pytest

from tests.trainlib.rest.toy_frame import AXIS, RANGE, observed, statistics
from trainlib.rest.scan import Scan, by_twos

STATISTICS = statistics()
SCAN = Scan(STATISTICS, 6)


def test_all_shifts_of_the_range_are_tried_and_a_little_more():
    pitch = AXIS.pixel_redshift
    assert np.allclose(np.diff(SCAN.shifts), pitch)
    assert RANGE[0] - 3 * pitch < SCAN.shifts[0] <= RANGE[0] - 1.9 * pitch
    assert RANGE[1] + 1.9 * pitch <= SCAN.shifts[-1] < RANGE[1] + 3 * pitch


def test_the_evidence_is_that_of_a_normal_distribution_over_pairs_of_pixels():
    flux, variance, _, _ = observed(2, 0.05)
    told, shape = STATISTICS, STATISTICS.noise_shape.astype(float)
    spread = told.vectors * told.eigenvalues[:, None] ** 0.5

    def pairs(values: np.ndarray) -> np.ndarray:
        white = values.astype(float) / shape
        return white.reshape(len(white), -1, 2).sum(axis=2) / np.sqrt(2.0)

    found, some = SCAN.log_evidence(flux, variance), slice(None, None, 4)
    expected = np.empty((2, len(SCAN.shifts[some])))
    for number, shift in enumerate(SCAN.shifts[some]):
        at = np.full(len(spread), shift)
        seen = pairs(AXIS.gather(spread, at))
        covariance = seen.T @ seen + 0.05**2 * np.eye(AXIS.pixels // 2)
        off = pairs(flux - AXIS.gather(told.mean[None], at[:1]))
        misfit = (off * np.linalg.solve(covariance, off.T).T).sum(axis=1)
        expected[:, number] = -0.5 * (misfit + np.linalg.slogdet(covariance)[1])
    gap = found[:, some] - expected
    assert (np.ptp(gap, axis=1) < 2e-3 * np.ptp(expected, axis=1)).all()


MASKS = {
    "two thirds": np.arange(AXIS.pixels) % 200 > 66,
    "every other": np.arange(AXIS.pixels) % 2 == 0,
    "all but a tenth": np.arange(AXIS.pixels) > 40,
    "a gap": (np.arange(AXIS.pixels) > 60) & (np.arange(AXIS.pixels) < 91),
    "one": np.arange(AXIS.pixels) == 123,
}


def in_pairs(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return sums over the square root of two of pairs that are seen, and the pixels left alone."""
    both = seen[::2] & seen[1::2]
    alone = seen & ~np.repeat(both, 2)
    pairs = (values[:, ::2] + values[:, 1::2])[:, both] / np.sqrt(2.0)
    return np.concatenate([pairs, values[:, alone]], axis=1)


@pytest.mark.parametrize("kind", MASKS)
def test_the_evidence_is_that_of_the_pixels_that_are_seen(kind):
    """That of a normal distribution over them alone, pairs summed where both are seen."""
    flux, variance, _, _ = observed(3, 0.02)
    seen = ~MASKS[kind]
    variance[:, ~seen] = np.inf
    variance[2] = observed(1, 0.02)[1]  # beside one that is whole
    told, shape = STATISTICS, STATISTICS.noise_shape.astype(float)
    spread = told.vectors * told.eigenvalues[:, None] ** 0.5
    found = SCAN.log_evidence(flux, variance)[:2]
    expected = np.empty((2, len(SCAN.shifts)))
    for number, shift in enumerate(SCAN.shifts):
        at = np.full(len(spread) + 1, shift)
        mean, *parts = in_pairs(AXIS.gather(np.vstack([told.mean, spread]), at) / shape, seen)
        covariance = np.transpose(parts) @ parts + 0.02**2 * np.eye(len(mean))
        off = in_pairs(flux[:2] / shape, seen) - mean
        misfit = (off * np.linalg.solve(covariance, off.T).T).sum(axis=1)
        expected[:, number] = -0.5 * (misfit + np.linalg.slogdet(covariance)[1])
    gap = found - expected
    assert (np.ptp(gap, axis=1) < 2e-3 * np.ptp(expected, axis=1)).all()


@pytest.mark.parametrize("parity", [0, 1])
def test_where_every_other_pixel_is_masked_the_redshift_does_not_move(parity):
    flux, variance, _, redshift = observed(200, 0.02)
    variance[:, parity::2] = np.inf
    off = (SCAN(flux, variance).redshift - redshift) / AXIS.pixel_redshift
    assert abs(np.median(off)) < 0.05


def test_a_part_of_the_arm_tells_the_redshift():
    flux, variance, _, redshift = observed(200, 0.01)
    variance[:, 100:] = np.inf
    found = SCAN(flux, variance)
    off = np.abs(found.redshift - redshift) / AXIS.pixel_redshift
    is_sure = found.log_odds > 8.0
    assert is_sure.mean() > 0.5 and (off[is_sure] < 1.0).mean() > 0.99


def test_an_odd_pixel_is_alone_in_its_pair():
    values = np.array([[3.0, 1.0, 5.0]])
    assert np.allclose(by_twos(values), np.array([[4.0, 5.0]]) / 2**0.5)


def test_redshifts_are_found_within_their_errors():
    flux, variance, _, redshift = observed(300, 0.03)
    found = SCAN(flux, variance)
    off = (found.redshift - redshift) / AXIS.pixel_redshift
    assert np.median(np.abs(off)) < 0.1
    pulls = off * AXIS.pixel_redshift / found.error
    assert 0.5 < np.median(np.abs(pulls)) / 0.674 < 1.5
    assert bool((found.log_odds > 0).all())
    is_other = ~np.isnan(found.second)
    apart = np.abs(found.second - found.redshift)[is_other] / AXIS.pixel_redshift
    assert apart.min() > 1.5


def test_where_two_redshifts_fit_alike_both_are_told():
    flux, variance, _, redshift = observed(60, 0.9)
    found = SCAN(flux, variance)
    pitch = AXIS.pixel_redshift
    is_wrong = np.abs(found.redshift - redshift) > 3 * pitch
    assert is_wrong.sum() > 3
    odds = found.log_odds
    assert np.median(odds[is_wrong]) < 3.0
    again = np.abs(found.second - redshift)[is_wrong] < 2 * pitch
    assert again.mean() > 0.2


def test_masked_pixels_say_nothing():
    flux, variance, _, redshift = observed(100, 0.03)
    variance[:, 60:90] = np.inf
    struck = flux.copy()
    struck[:, 60:90] = np.linspace(-50.0, 50.0, 30)
    clean, hit = SCAN(flux, variance), SCAN(struck, variance)
    assert np.array_equal(clean.redshift, hit.redshift) and np.array_equal(clean.error, hit.error)
    assert np.array_equal(clean.log_odds, hit.log_odds)
    off = np.abs(clean.redshift - redshift) / AXIS.pixel_redshift
    assert np.median(off) < 0.12


def test_a_spectrum_without_a_single_pixel_has_no_redshift_but_breaks_nothing():
    found = SCAN(*np.float32([np.zeros((2, AXIS.pixels)), np.full((2, AXIS.pixels), np.inf)]))
    assert bool(np.isfinite(found.redshift).all()) and bool(np.isfinite(found.error).all())
