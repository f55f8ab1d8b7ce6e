"""From a spectrum's pixels to a network's: values, errors and what is masked."""

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.spectra.observed import Observed
from simlib.spectra.pixels import OnPixels, Way, way_of
from simlib.spectra.units import RELATIVE
from tests.simlib.spectra import on_way

PITCH = 0.05
NEW = 800.0 + PITCH * np.arange(2000)
GRIDS = {
    "same": NEW,
    "shifted": np.arange(799.98, 901.0, PITCH),
    "wider": np.arange(799.0, 901.0, 0.07),
    "coarse": np.arange(798.0, 902.0, 0.2),
    "fine": np.arange(799.0, 901.0, 0.007),
    "uneven": np.concatenate([np.arange(799.0, 840.0, 0.08), np.arange(840.0, 901.0, PITCH)]),
}


def spectrum(x, width=0.4):
    return 1.0 + 0.002 * (x - 850) - 0.5 * np.exp(-0.5 * ((x - 850.3) / width) ** 2)


def observed(wavelength, flux, variance, mask=None, beside=None):
    bad = np.zeros(wavelength.size, bool) if mask is None else mask
    return Observed("a", "b", wavelength, flux, np.broadcast_to(variance, flux.shape), bad,
                    RELATIVE, beside)  # fmt: skip


def brought(one: Observed, way: Way | None = None) -> OnPixels:
    return on_way.brought(one, way or way_of(one, NEW))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_smooth_curve_stays_what_it_is(name, order):
    old = GRIDS[name][::order]
    one = observed(old, spectrum(old), 1e-4)
    found = brought(one)
    assert found.covered == 1.0
    assert np.max(np.abs(found.flux - spectrum(NEW))) < (4e-3 if name == "coarse" else 5e-4)


@pytest.mark.parametrize("name", GRIDS)
def test_the_error_of_a_mean_over_many_pixels_is_right(name):
    """So is the information that a fit with these errors takes from them."""
    old, draw, pulls = GRIDS[name], np.random.default_rng(3), []
    sigma = 0.1 * (1.0 + 0.5 * np.sin(old))
    one = observed(old, old, sigma**2)
    way = way_of(one, NEW)
    for _ in range(12):
        one = observed(old, sigma * draw.standard_normal(old.size), sigma**2)
        found = brought(one, way)
        for part in np.array_split(np.arange(50, 1950), 10):
            weight = 1.0 / found.variance[part]
            pulls.append(np.sum(found.flux[part] * weight) / np.sqrt(np.sum(weight)))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.22)  # 120 of them: sigma .065


def test_the_covariance_that_a_file_states_counts():
    beside = np.stack([np.full(NEW.size, 0.3), np.full(NEW.size, 0.1)])
    one = observed(NEW, NEW, 1.0, beside=beside)
    variance = brought(one).variance
    assert np.allclose(variance[2:-2], 1.0 + 2 * 0.3 + 2 * 0.1)


@pytest.mark.parametrize("name", ["same", "fine"])
def test_the_covariance_of_falling_wavelengths_is_of_the_same_pairs(name):
    old, draw = GRIDS[name], np.random.default_rng(2)
    beside = draw.uniform(0.0, 0.3, (2, old.size))
    bad = draw.uniform(size=old.size) < 0.01
    rising = observed(old, spectrum(old), 1.0, bad, beside)
    # of a pixel with the next: turned round, of the next with the pixel
    turned = np.zeros_like(beside)
    turned[0, :-1], turned[1, :-2] = beside[0, -2::-1], beside[1, -3::-1]
    falling = observed(old[::-1], spectrum(old)[::-1], 1.0, bad[::-1], turned)
    expected, found = (brought(one) for one in (rising, falling))
    assert np.ptp(expected.variance[np.isfinite(expected.variance)]) > 0.1 / old.size * NEW.size
    np.testing.assert_allclose(found.variance, expected.variance)


def test_a_rejected_pixel_shares_no_noise_with_its_neighbours():
    beside = np.full((2, NEW.size), 0.2)
    one = observed(NEW, NEW, 1.0, np.arange(NEW.size) == 700, beside)
    variance = brought(one).variance
    assert np.allclose(variance[[698, 699, 701, 702]], 1.0 + 3 * 0.2)
    assert np.allclose(variance[[697, 703]], 1.0 + 4 * 0.2)


@pytest.mark.parametrize("name", GRIDS)
def test_a_rejected_pixel_leaves_no_trace_in_others(name):
    old = GRIDS[name]
    flux, bad = spectrum(old), np.zeros(old.size, bool)
    at = int(np.searchsorted(old, 860.0))
    bad[at], flux[at] = True, 1e6
    for one in (observed(old, flux, 1e-4, bad), observed(old, np.where(bad, np.nan, flux), 1e-4),
                observed(old, flux, np.where(bad, -1.0, 1e-4)),
                observed(old, flux, np.where(bad, 0.0, 1e-4))):  # fmt: skip
        found = brought(one)
        lost = np.flatnonzero(~np.isfinite(found.variance))
        assert 1 <= lost.size <= max(3, 2 * 0.2 / PITCH)
        assert np.max(np.abs(NEW[lost] - old[at])) < 0.21
        seen = np.isfinite(found.variance)
        assert np.max(np.abs(found.flux - spectrum(NEW))[seen]) < 5e-3
        assert not found.flux[lost].any()


def test_what_lies_beyond_is_not_seen_and_its_share_is_told():
    old = np.arange(820.0, 845.0, PITCH) + 0.013
    one = observed(old, spectrum(old), 1e-4)
    found = brought(one)
    assert found.covered == pytest.approx(25.0 / 100.0, abs=0.002)
    assert np.all(np.isinf(found.variance[NEW < 820.0]))
    assert found.shared > 0.1 and brought(observed(NEW, NEW, 1.0)).shared == 0.0


def test_a_spectrum_of_elsewhere_or_without_a_pixel_is_refused():
    far = np.arange(500.0, 600.0, PITCH)
    for one in (
        observed(far, far, 1.0),
        observed(NEW, NEW, -1.0),
        observed(NEW, NEW * np.nan, 1.0),
    ):
        with pytest.raises(InputError, match="spectrum a: none of its .* pixels"):
            brought(one)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("lost", [(860.0, 860.01), (860.0, 863.0), (845.0, 856.0)])
def test_pixels_that_were_left_out_are_as_rejected_ones(name, order, lost):
    """One of them, several, a hole, and one alone between two that were left out."""
    old = GRIDS[name][::order]
    bad = (old >= old[np.argmin(np.abs(old - lost[0]))]) & (old <= lost[1])
    bad[np.argmin(np.abs(old - 870.0))] = bad[np.argmin(np.abs(old - 870.0)) + 2] = True
    masked = observed(old, spectrum(old), 1e-4, bad)
    dropped = observed(old[~bad], spectrum(old[~bad]), 1e-4)
    expected = brought(masked)
    found = brought(dropped)
    assert expected.covered < 1.0
    assert np.array_equal(np.isfinite(found.variance), np.isfinite(expected.variance))
    assert np.allclose(found.flux, expected.flux, rtol=1e-9, atol=1e-12)
    assert np.allclose(found.variance, expected.variance, rtol=1e-9)
    assert found.shared == pytest.approx(expected.shared)


def test_a_single_pixel_is_brought():
    one = observed(NEW[700:701], np.ones(1), 1.0)
    found = brought(one)
    assert np.flatnonzero(np.isfinite(found.variance)).tolist() == [700]


def test_wavelengths_with_few_decimals_lose_no_pixel():
    old = np.round(np.arange(799.0, 901.0, 0.053), 2)
    one = observed(old, spectrum(old), 1e-4)
    assert brought(one).covered == 1.0


def test_a_very_wide_hole_is_as_any_other():
    """It would take millions of pixels; none is made up at its ends either."""
    near = NEW[:1000]
    one = observed(np.append(near, 5e5), np.ones(1001), 1.0)
    assert way_of(one, NEW).old.size < 300_000
    seen = np.isfinite(brought(one).variance)
    assert seen[:1000].all() and not seen[1000:].any()
    fine = np.r_[100.0 + 0.002 * np.arange(30), np.arange(850.0, 900.0, 0.002)]
    one = observed(fine, np.ones(fine.size), 1.0)
    assert way_of(one, NEW).old.size < 300_000
    seen = np.isfinite(brought(one).variance)
    assert not seen[:1001].any() and seen[1001:1999].all()
