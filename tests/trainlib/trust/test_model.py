"""Errors told too small are brought to their size, and few clean spectra look odd."""

import numpy as np
import pytest

from simlib.artifact import encoded, parse_record, read_record, write_record
from simlib.errors import InputError
from simlib.location import Location
from trainlib.trust.model import Tried, Trust, TrustRecord, make_trust, quantile

PIXELS = 64


def tried(rows: int, seed: int) -> Tried:
    """Return rows whose errors are told too small, more so at high S/N and to the red; long tails.

    What is told of redshifts is too large by two.
    """
    dice = np.random.default_rng(seed)
    snr = np.exp(dice.uniform(np.log(3.0), np.log(90.0), rows))
    size = 1.0 + 0.15 * np.log(snr)[:, np.newaxis] * np.linspace(0.5, 1.5, PIXELS)
    together = dice.standard_normal((rows, 1))
    off = 0.6 * together + 0.8 * dice.standard_t(5, (rows, PIXELS)) * np.sqrt(3 / 5)
    scatter = dice.standard_normal((rows, 4)) * [100.0, 0.3, 0.2, 0.1] / snr[:, np.newaxis]
    measures = np.stack([
        1.0 + dice.normal(0.0, 0.01, rows),
        3.0 + 0.3 * dice.gumbel(size=rows),
        4.0 + 0.05 * np.log(snr) + 0.3 * dice.gumbel(size=rows),
        0.5 + 0.1 * np.log(snr) + 0.02 * dice.standard_normal(rows),
    ], axis=1)  # fmt: skip
    return Tried(
        snr=snr,
        off=np.abs(off * size).astype(np.float16),
        redshift=np.abs(dice.standard_normal(rows)) / 2.0,
        stars=np.abs(scatter),
        measures=measures,
    )


@pytest.fixture(scope="module")
def trust() -> Trust:
    return make_trust(tried(4000, 1))


def test_the_truth_of_other_rows_is_within_the_errors_as_often_as_told(trust: Trust) -> None:
    other = tried(6000, 2)
    told = trust.told(other.snr, PIXELS)
    wide = told.pixel * told.pixel_95[:, np.newaxis]
    for low, high in ((3, 7), (7, 14), (14, 40), (40, 90), (3, 90)):
        some = (other.snr >= low) & (other.snr < high)
        assert 0.66 < np.mean(other.off[some] <= told.pixel[some]) < 0.70
        assert 0.935 < np.mean(other.off[some] <= wide[some]) < 0.965
        for half in (slice(0, 32), slice(32, None)):
            assert 0.64 < np.mean(other.off[some][:, half] <= told.pixel[some][:, half]) < 0.72
        assert 0.64 < np.mean(other.redshift[some] <= told.redshift[some]) < 0.72
        assert np.mean(other.redshift[some] <= (told.redshift * told.redshift_95)[some]) > 0.93
        for axis in range(4):
            is_within = other.stars[some, axis] <= told.stars[some, axis]
            assert 0.62 < np.mean(is_within) < 0.74
    assert np.mean(other.off <= 1.0) < 0.6  # as told
    assert np.all(told.pixel_95 > 1.96)  # a Gaussian's width would not hold 95 %


def test_few_other_rows_look_odd_and_what_is_odd_does(trust: Trust) -> None:
    other = tried(6000, 3)
    odd = trust.odd(other.snr, other.measures, np.ones(6000))
    assert 0.0005 < np.mean(odd.max(axis=1) >= 1.0) < 0.007
    for low, high in ((3, 10), (10, 30), (30, 90)):
        some = (other.snr >= low) & (other.snr < high)
        assert np.mean(odd[some].max(axis=1) >= 1.0) < 0.015
    for measure, more in enumerate((0.1, 4.0, 4.0, 0.3)):
        strange = other.measures.copy()
        strange[:, measure] += more
        assert np.mean(trust.odd(other.snr, strange, np.ones(6000))[:, measure] >= 1.0) > 0.9
    least = trust.limit_of_features(20.0)
    at = np.array([[1.0, 3.0, least, 0.5]])
    assert trust.odd(np.array([20.0]), at, np.ones(1))[0, 2] == pytest.approx(1.0)


def test_of_a_part_of_the_arm_the_scatter_may_be_more(trust: Trust) -> None:
    measures = np.array([[1.05, 3.0, 4.0, 0.8]])
    whole, part = (trust.odd(np.array([20.0]), measures, np.array([c]))[0, 0] for c in (1.0, 0.25))
    assert part == pytest.approx(0.5 * whole)


@pytest.mark.parametrize("rows", [1, 7, 199])
def test_of_few_rows_all_are_told_alike(rows: int) -> None:
    few = make_trust(tried(rows, 4))
    assert few.rows == rows and len(few.snr) == 1
    told = few.told(np.array([0.0, np.nan, 5.0, 1e6]), PIXELS)
    assert np.ptp(told.pixel, axis=0).max() == 0.0 and np.isfinite(told.pixel).all()
    assert np.isfinite(few.odd(np.array([5.0]), few.usual, np.ones(1))).all()


def test_beyond_the_rows_that_were_tried_the_nearest_hold(trust: Trust) -> None:
    ends = trust.told(np.array([trust.snr[0], 1e-3, trust.snr[-1], 1e4]), PIXELS)
    assert np.array_equal(ends.redshift[[0, 2]], ends.redshift[[1, 3]])
    assert np.array_equal(ends.pixel[[0, 2]], ends.pixel[[1, 3]])


def test_a_quantile_holds_its_share_of_new_values() -> None:
    values = np.arange(1.0, 100.0)
    assert quantile(values, 0.68) == 68.0 and quantile(values, 0.95) == 95.0
    assert quantile(values[:5], 0.95) == 5.0  # so few cannot tell


def test_what_is_kept_is_read_back_and_damage_is_told(trust: Trust, tmp_path) -> None:
    place = Location.of(tmp_path / "trust.json")
    write_record(place, trust.record("abc"))
    again = Trust.of(read_record(place, TrustRecord))
    for name, value in vars(trust).items():
        assert np.array_equal(getattr(again, name), value), name
    data = encoded(trust.record("abc"))
    assert len(data) < 100_000
    with pytest.raises(InputError, match=r"damaged.*specdenoise evaluate RUN` again"):
        parse_record(place, data.replace(b'"rows": 4000', b'"rows": 4001'), TrustRecord)
