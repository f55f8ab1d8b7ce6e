"""Runs of residuals: as large as noise makes them, a line found where it is, a cosmic ray left."""

import numpy as np
import pytest

from trainlib.trust.residuals import (
    MEASURES,
    NARROW,
    WIDE,
    features_in,
    measured,
    residuals_of,
)

PIXELS = 600
WAVELENGTH = 800.0 + 0.04 * np.arange(PIXELS)


def noisy(rows: int, level: float = 0.05, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Return flux, variance, what was made of it and its error."""
    dice = np.random.default_rng(seed)
    sigma = level * dice.uniform(0.5, 2.0, (rows, PIXELS))
    made = np.full((rows, PIXELS), 0.5)
    flux = made + sigma * dice.standard_normal(made.shape)
    return flux.astype(np.float32), sigma.astype(np.float32) ** 2, made, np.full_like(made, 1e-4)


def line(at: int, depth: float, sigma: float = 1.5) -> np.ndarray:
    return -depth * np.exp(-0.5 * ((np.arange(PIXELS) - at) / sigma) ** 2)


@pytest.mark.parametrize("pixels", [*NARROW, *WIDE])
def test_noise_makes_runs_of_unit_scatter(pixels: int) -> None:
    seen = residuals_of(*noisy(200))
    found = seen.significance(pixels)[:, ::pixels]
    assert found.std() == pytest.approx(1.0, abs=0.1)
    assert abs(found.mean()) < 0.12


def test_noise_that_neighbours_share_makes_no_more_of_them() -> None:
    flux, variance, made, error = noisy(200)
    smooth = flux.copy()
    smooth[:, 1:] = made[:, 1:] + 0.5 * (flux - made)[:, 1:] + 0.5 * (flux - made)[:, :-1]
    variance = np.broadcast_to(((smooth - made) ** 2).mean(), variance.shape)
    spread = [
        residuals_of(smooth, variance, made, error, shared).significance(63).std()
        for shared in (0.0, np.full(200, 0.5))
    ]
    assert spread[0] > 1.25 and spread[1] == pytest.approx(1.0, abs=0.12)


def test_a_line_is_named_where_it_is_with_its_sign() -> None:
    flux, variance, made, error = noisy(1)
    flux = flux + (line(100, 0.5) - line(400, 0.7)).astype(np.float32)
    found = features_in(residuals_of(flux, variance, made, error), WAVELENGTH, 5.0)
    assert [round(one.significance / abs(one.significance)) for one in found] == [1, -1]
    for one, at in zip(found, (400, 100), strict=True):
        assert abs(one.wavelength - WAVELENGTH[at]) < 0.1
    assert str(found[1]) == f"{found[1].wavelength:.2f} nm ({found[1].significance:.0f})"
    looks = measured(flux, variance, made, error, np.zeros(1))
    best = max(abs(one.significance) for one in found)
    assert looks[0, MEASURES.index("features")] == pytest.approx(best)


def test_a_cosmic_ray_is_no_feature_and_no_misfit() -> None:
    flux, variance, made, error = noisy(1)
    clean = measured(flux, variance, made, error, np.zeros(1))
    flux[0, [50, 200, 201 + 40]] += 2.0
    hit = measured(flux, variance, made, error, np.zeros(1))
    assert np.allclose(hit, clean, atol=0.8)
    assert not features_in(residuals_of(flux, variance, made, error), WAVELENGTH, 5.0)


def test_what_is_masked_does_not_count_whatever_it_holds() -> None:
    flux, variance, made, error = noisy(3)
    hidden = np.zeros((3, PIXELS), bool)
    hidden[:, 100:140] = True
    variance = np.where(hidden, np.inf, variance)
    looks = [
        measured(np.where(hidden, value, flux), variance, made, error, np.ones(3))
        for value in (0.0, 1e9, np.nan)
    ]
    assert np.array_equal(looks[0], looks[1]) and np.array_equal(looks[0], looks[2])
    assert np.isfinite(looks[0]).all() and (looks[0][:, -1] == 1.0).all()
    nothing = measured(flux, np.full_like(variance, np.inf), made, error, np.ones(3))
    assert np.isnan(nothing[:, 0]).all() and (nothing[:, 1:3] == 0.0).all()


def test_a_bent_spectrum_shows_in_long_runs_before_any_pixel_does() -> None:
    flux, variance, made, error = noisy(1)
    bent = flux + 0.05 * np.sin(np.arange(PIXELS) / 60.0).astype(np.float32)
    plain, looks = (measured(one, variance, made, error, np.zeros(1))[0] for one in (flux, bent))
    assert looks[1] > plain[1] + 3.0 and looks[2] < looks[1] - 2.0


def test_errors_that_go_together_excuse_a_short_run() -> None:
    flux, variance, made, error = noisy(1)
    flux = flux + line(300, 0.3).astype(np.float32)
    sure, unsure = (
        np.abs(residuals_of(flux, variance, made, told).significance(5)).max()
        for told in (error, np.full_like(error, 0.1))
    )
    assert sure > 6.0 and unsure < 3.5


def test_rows_are_as_each_alone_and_a_short_spectrum_has_no_long_runs() -> None:
    given = noisy(40)
    together = measured(*given, np.zeros(40))
    alone = measured(*(part[35:36] for part in given), np.zeros(1))
    assert np.array_equal(together[35:36], alone)
    short = measured(*(part[:, :20] for part in given), np.zeros(40))
    assert (short[:, 1] == 0.0).all() and (short[:, 2] > 0.0).all()
