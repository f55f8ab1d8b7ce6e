"""Where a fit begins without help; and a network's answer, exchanged for a fit's or kept."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.fit.cold import coarse_library, cold_start
from simlib.fit.polish import polish
from simlib.fit.solve import fit_spectra
from tests.simlib.fit.toy_stars import drawn, generator, problem, seen

PIXEL = 5.3e-5  # in redshift


@pytest.fixture(scope="module")
def library():
    return coarse_library(problem())


def well_calibrated(stars):
    """Return noisy flux and variance of stars at S/N 40."""
    _, variance, _ = seen(stars, snr=40.0)
    flux, _ = generator().look(stars, is_sloped=False)
    return flux + np.sqrt(variance) * np.random.default_rng(2).standard_normal(flux.shape), variance


def test_a_cold_start_is_the_nearest_template_at_its_redshift(library):
    assert library.evaluations == len(library.stars) * len(library.shifts) == 8 * 113
    axes = [np.unique(column) for column in library.stars.T]
    assert [list(axis) for axis in axes[:4]] == [[3500, 4500], [0, 3.5], [-2.5, -0.5], [0.25]]
    stars = library.stars.copy()
    stars[:, 4] = np.linspace(-0.0029, 0.0029, len(stars))
    noisy, variance = well_calibrated(stars)
    found = cold_start(library, noisy, variance)
    assert np.array_equal(found[:, :4], stars[:, :4])
    assert np.abs(found[:, 4] - stars[:, 4]).max() < 0.3 * PIXEL
    tilted = noisy * np.linspace(0.6, 1.4, noisy.shape[1])
    assert np.array_equal(cold_start(library, tilted, variance)[:, :4], stars[:, :4])


def test_a_cold_fit_ends_where_one_from_the_truth_does(library):
    stars = drawn(24, seed=21)
    noisy, variance, _ = seen(stars, snr=25.0)
    start = cold_start(library, noisy, variance)
    cold, known = (fit_spectra(problem(), noisy, variance, s) for s in (start, stars))
    assert np.mean(cold.objective < known.objective + 1.0) > 0.9


def test_masked_pixels_and_absent_nodes_are_left_out(library):
    stars = library.stars[:3].copy()
    stars[:, 4] = 0.001
    noisy, variance = well_calibrated(stars)
    noisy[:, 800:1100], variance[:, 800:1100] = np.nan, 1.0
    assert np.array_equal(cold_start(library, noisy, variance)[:, :4], stars[:, :4])
    variance[1] = np.inf
    assert np.isfinite(cold_start(library, noisy, variance)).all()
    assert cold_start(library, noisy[:0], variance[:0]).shape == (0, 6)
    present = generator().present.copy()
    present[2] = False
    with_hole = replace(problem(), generator=replace(generator(), present=present))
    assert (coarse_library(with_hole).stars[:, 0] == 3500).all()


def test_one_redshift_alone_is_not_searched():
    still = replace(generator().templates, redshift=np.array([0.001, 0.001]))
    known = replace(problem(), generator=replace(generator(), templates=still))
    library = coarse_library(known)
    assert library.shifts.tolist() == [0.001]
    stars = library.stars[2:3].copy()
    stars[:, 4] = 0.001
    noisy, variance = well_calibrated(stars)
    assert np.allclose(cold_start(library, noisy, variance), stars)


def answers(rows, snr, seed=30):
    """Return noisy spectra of stars, and what a network might say of them."""
    stars = drawn(rows, seed)
    noisy, variance, clean = seen(stars, snr)
    named = stars + np.array([100.0, 0.4, 0.15, 0.05, 1e-5, np.nan])
    wave = 1.0 + 0.02 * np.sin(np.arange(clean.shape[1]) / 3.0)
    return noisy, variance, clean, clean * wave, named


def test_a_polished_spectrum_is_better_and_its_star_too():
    noisy, variance, clean, denoised, named = answers(20, snr=50.0)
    found = polish(problem(), noisy, variance, denoised, named)
    assert found.is_accepted.mean() > 0.9
    error, before = (np.abs(x / clean - 1.0).mean(axis=1) for x in (found.spectra, denoised))
    assert (error[found.is_accepted] < 0.5 * before[found.is_accepted]).all()
    assert np.array_equal(found.spectra[found.is_accepted], found.fit.spectra[found.is_accepted])
    assert np.array_equal(found.stars, found.fit.stars)
    assert found.covariance.shape == (20, 6, 6)


def test_what_no_star_explains_stays_as_the_network_has_it():
    noisy, variance, _, denoised, named = answers(4, snr=50.0)
    band = slice(1000, 1040)
    noisy[0, band] += 0.2
    denoised[0, band] += 0.2  # the network sees it too
    noisy[1, band] += 0.2  # it does not
    variance[2] = np.inf  # no pixel
    noisy[3] = 1e30
    found = polish(problem(), noisy, variance, denoised, named)
    assert found.is_accepted.tolist() == [False, True, False, False]
    for row in (0, 2, 3):
        assert np.array_equal(found.spectra[row], denoised[row])


def test_a_star_that_is_the_best_already_is_left_alone():
    noisy, variance, _, denoised, named = answers(3, snr=50.0)
    best = polish(problem(), noisy, variance, denoised, named).stars
    again = polish(problem(), noisy, variance, denoised, best)
    assert (again.fit.start_objective < again.fit.objective + 0.5).all()
    assert (again.fit.evaluations <= 4).all()
