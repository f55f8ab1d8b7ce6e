"""Visits of a star are stacked as the textbook says; the forecast is what more of them bring."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.spectra.observed import Observed
from simlib.spectra.units import NANOJANSKY, PER_ANGSTROM
from trainlib.onsky.stack import Stack, exposures_to, snr_after, star_of

PIXELS = 60


def visit(seed: int, **changes) -> Observed:
    draw = np.random.default_rng(seed)
    variance = draw.uniform(0.5, 2.0, PIXELS)
    values = {
        "name": "00003-000000000000004d", "product": "pfsSingle",
        "wavelength": 800.0 + 0.05 * np.arange(PIXELS), "flux": draw.normal(10.0, 1.0, PIXELS),
        "variance": variance, "mask": np.zeros(PIXELS, bool), "unit": NANOJANSKY,
        "beside": np.stack([0.3 * variance, 0.1 * variance]),
    }  # fmt: skip
    return Observed(**(values | changes))


def stacked(*visits: Observed) -> Stack:
    stack = Stack.of(visits[0], 900.0)
    for one in visits[1:]:
        stack = stack.joined(one, 900.0)
    return stack


def test_a_stack_is_the_mean_by_inverse_variance_with_its_covariance():
    visits = [visit(seed) for seed in range(4)]
    found = stacked(*visits).spectrum()
    weights = np.array([1.0 / one.variance for one in visits])
    total = weights.sum(axis=0)
    flux = sum(w * one.flux for w, one in zip(weights, visits, strict=True)) / total
    assert np.allclose(found.flux, flux) and np.allclose(found.variance, 1.0 / total)
    assert not found.mask.any() and found.notes == ("stack of 4 visits",)
    for apart in (1, 2):
        parts = [w[:-apart] * w[apart:] * one.beside[apart - 1, :-apart]
                 for w, one in zip(weights, visits, strict=True)]  # fmt: skip
        assert np.allclose(found.beside[apart - 1, :-apart],
                           sum(parts) / (total[:-apart] * total[apart:]))  # fmt: skip


def test_what_a_visit_masks_is_left_to_the_others():
    one, other = visit(1), visit(2)
    mask = np.zeros(PIXELS, bool)
    mask[10:20] = True
    flux, variance = one.flux.copy(), one.variance.copy()
    flux[15], flux[30], variance[31] = 1e9, np.nan, -1.0
    bad = replace(one, mask=mask, flux=flux, variance=variance)
    found = stacked(bad, other).spectrum()
    for alone in (*range(10, 20), 30, 31):
        assert found.flux[alone] == pytest.approx(other.flux[alone])
        assert found.variance[alone] == pytest.approx(other.variance[alone])
    both = stacked(bad, replace(other, mask=mask)).spectrum()
    assert np.array_equal(np.flatnonzero(both.mask), np.arange(10, 20))
    assert np.isfinite(both.flux).all()


def test_the_same_visit_is_not_counted_twice():
    stack = stacked(visit(1), visit(2), visit(1))
    assert stack.exposures == 2 and stack.seconds == 1800.0
    assert np.array_equal(stack.spectrum().flux, stacked(visit(1), visit(2)).spectrum().flux)


def test_other_pixels_or_units_are_not_stacked():
    for other, word in (
        (visit(2, wavelength=800.01 + 0.05 * np.arange(PIXELS)), "has other pixels"),
        (visit(2, unit=PER_ANGSTROM), "the others in nJy"),
    ):
        with pytest.raises(InputError, match=word):
            stacked(visit(1), other)


def test_only_visits_of_named_stars_have_a_star():
    assert star_of(visit(1)) == "00003-000000000000004d"
    assert star_of(visit(1, product="pfsObject")) is None
    assert star_of(visit(1, name="-0001-ffffffffffffffff")) is None
    assert star_of(visit(1, name="star")) is None


def test_the_forecast_is_the_signal_to_noise_that_as_many_visits_have():
    visits = [visit(seed, variance=np.full(PIXELS, 4.0)) for seed in range(12)]
    snr = [float(np.median(10.0 / np.sqrt(stacked(*visits[:n]).spectrum().variance)))
           for n in range(1, 13)]  # fmt: skip
    for more in range(9):
        assert snr_after(snr[2], 3, more) == pytest.approx(snr[2 + more])
    more = exposures_to(15.0, snr[2], 3)
    assert snr[2 + more] >= 15.0 > snr[1 + more]
    assert exposures_to(snr[2], snr[2], 3) == 0 == exposures_to(1.0, snr[2], 3)
    assert exposures_to(15.0, float("nan"), 3) is None
