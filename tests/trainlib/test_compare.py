"""Two networks on the same spectra: what is drawn anew is a spectrum, with both of its errors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from trainlib.evaluation.compare import paired


def results_of(snr: np.ndarray, errors: np.ndarray) -> Any:
    on = xr.Dataset(
        {"mean_abs_relative_error": (("method", "spectrum"), errors[np.newaxis])},
        coords={"method": ["dae"]},
    )
    return SimpleNamespace(on=on.assign(snr=("spectrum", snr)))


def test_a_pair_s_interval_is_that_of_a_ratio_of_means() -> None:
    """By the law of its linear part; unpaired it would be five times as wide."""
    dice = np.random.default_rng(3)
    first = dice.lognormal(-4.0, 0.5, 900)
    second = first * dice.normal(0.9, 0.1, 900)
    snr = np.where(np.arange(900) < 600, 6.0, 30.0)
    found = paired(results_of(snr, first), results_of(snr, second))
    assert [(one.snr_low, one.count) for one in found if one.count] == [
        (5, 600),
        (20, 300),
        (0, 900),
    ]
    for one, some in ((found[1], slice(600)), (found[5], slice(600, 900)), (found[-1], slice(900))):
        a, b = first[some], second[some]
        ratio = b.mean() / a.mean()
        assert (one.first, one.second, one.ratio) == pytest.approx((a.mean(), b.mean(), ratio))
        scatter = np.std(b - ratio * a, ddof=1) / np.sqrt(len(a)) / a.mean()
        assert one.low == pytest.approx(ratio - 1.96 * scatter, abs=0.25 * scatter)
        assert one.high == pytest.approx(ratio + 1.96 * scatter, abs=0.25 * scatter)
    assert found[0].ratio is found[0].low is None


def test_the_same_network_is_neither_better_nor_worse_and_few_spectra_tell_no_interval() -> None:
    snr, errors = np.full(12, 6.0), np.linspace(0.01, 0.02, 12)
    (same,) = (one for one in paired(*[results_of(snr, errors)] * 2) if one.snr_low == 5)
    assert (same.ratio, same.low, same.high) == (1.0, 1.0, 1.0)
    few = paired(results_of(snr, errors), results_of(snr[:9], 2 * errors[:9]))[1]
    assert (few.count, few.ratio, few.low, few.high) == (9, pytest.approx(2.0), None, None)
