"""Redshifts that the scan is not sure of: at the peak of the evidence with their own weights."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainlib.rest import toy_frame
from tests.trainlib.rest.toy_frame import AXIS
from trainlib.rest.denoiser import RestDenoiser
from trainlib.rest.frame import RestFrame, weights_of
from trainlib.rest.network import Corrected
from trainlib.rest.refine import refined
from trainlib.rest.scan import Redshifts, Scan

RANK, ROWS = 6, 200
FRAME = RestFrame(toy_frame.statistics(RANK), steps=5)
PIXEL = AXIS.pixel_redshift


def seen(level: float, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noisy flux, variance, much larger in a third of the pixels, and redshifts."""
    flux, variance, _, redshift = toy_frame.observed(rows, level)
    dark = np.arange(AXIS.pixels) % 120 < 40
    more = np.random.default_rng(4).standard_normal(flux.shape) * np.sqrt(8.0 * variance) * dark
    return (flux + more).astype(np.float32), np.where(dark, 9.0 * variance, variance), redshift


def unsure(redshift: np.ndarray, error: float = 1.0) -> Redshifts:
    """Return redshifts as of a scan, each off by so many pixels."""
    nothing = np.zeros(len(redshift))
    return Redshifts(redshift, np.full(len(redshift), error * PIXEL), nothing, nothing)


def log_evidence(flux: np.ndarray, variance: np.ndarray, redshift: float) -> float:
    """Return the evidence of one spectrum at a redshift by dense matrices, but for a constant."""
    told = FRAME.statistics
    basis = AXIS.gather(told.vectors, np.full(RANK, redshift)).astype(float)
    mean = AXIS.gather(told.mean[np.newaxis], np.array([redshift]))[0]
    weight, level = weights_of(variance[np.newaxis])
    inverse = weight[0].astype(float) / float(level[0]) ** 2
    residual = flux - mean
    matrix = (basis * inverse) @ basis.T + np.diag(1.0 / told.eigenvalues)
    right = basis @ (inverse * residual)
    volume, misfit = np.linalg.slogdet(matrix)[1], (inverse * residual) @ residual
    return float(0.5 * (right @ np.linalg.solve(matrix, right) - volume - misfit))


def test_they_come_to_the_peak_of_the_evidence() -> None:
    flux, variance, redshift = seen(0.05)
    found = refined(FRAME, flux, variance, unsure(redshift + 0.4 * PIXEL)).redshift
    tried = np.arange(-1.5, 1.5, 0.02)
    for row in range(12):
        evidence = [
            log_evidence(flux[row], variance[row], redshift[row] + PIXEL * x) for x in tried
        ]
        peak = tried[int(np.argmax(evidence))]
        assert (found[row] - redshift[row]) / PIXEL == pytest.approx(peak, abs=0.06)


def test_they_are_nearer_than_the_scan_s_where_noise_is_not_of_the_mean_shape() -> None:
    flux, variance, redshift = seen(0.2, 1000)
    scanned = Scan(FRAME.statistics, RANK)(flux, variance)
    better = refined(FRAME, flux, variance, scanned)
    is_near = np.abs(scanned.redshift - redshift) < 3.0 * PIXEL
    before, after = (np.abs(found.redshift - redshift)[is_near] / PIXEL
                     for found in (scanned, better))  # fmt: skip
    gain = before - after
    assert gain.mean() > 3.0 * gain.std() / np.sqrt(len(gain)) and gain.mean() > 0.05
    assert np.array_equal(better.error, scanned.error)


def test_those_that_are_sure_and_the_rows_beside_change_nothing() -> None:
    flux, variance, redshift = seen(0.2)
    given = unsure(redshift, 0.1)
    assert refined(FRAME, flux, variance, given) is given
    given = replace(given, error=np.where(np.arange(ROWS) % 3, 0.1, 1.0) * PIXEL)
    whole = refined(FRAME, flux, variance, given).redshift
    assert np.array_equal(whole != redshift, np.arange(ROWS) % 3 == 0)
    some = slice(6, 7)
    alone = Redshifts(*(part[some] for part in vars(given).values()))
    assert refined(FRAME, flux[some], variance[some], alone).redshift == pytest.approx(
        whole[some], abs=1e-4 * PIXEL
    )


def test_without_a_pixel_or_at_the_end_of_the_range_they_stay_within_it() -> None:
    flux, variance, redshift = seen(0.3)
    low, high = FRAME.statistics.redshifts
    blind = refined(FRAME, flux, np.full_like(variance, np.inf), unsure(redshift)).redshift
    assert np.array_equal(blind, redshift)
    for end in (low - 2.0 * PIXEL, high + 2.0 * PIXEL):
        found = refined(FRAME, flux, variance, unsure(np.full(ROWS, end))).redshift
        assert np.all((found >= low - 2.01 * PIXEL) & (found <= high + 2.01 * PIXEL))


def test_a_denoiser_refines_before_it_solves() -> None:
    flux, variance, _ = seen(0.2)
    taken: list[np.ndarray] = []

    def correct(solution: np.ndarray, level: np.ndarray, redshift: np.ndarray) -> Corrected:
        taken.append(redshift)
        return Corrected(solution, np.zeros((len(level), 4), np.float32), np.ones_like(level))

    denoiser = RestDenoiser(FRAME, RANK, correct)
    found = denoiser.denoise(flux, variance).redshift
    scanned = denoiser.scan(flux, variance)
    expected = refined(FRAME, flux, variance, scanned).redshift
    assert np.array_equal(found, expected) and not np.array_equal(found, scanned.redshift)
    assert np.array_equal(taken[0], expected.astype(np.float32))
