import numpy as np
import pytest
import torch
import xarray as xr

from trainlib.evaluation.binned import binned
from trainlib.evaluation.metrics import (
    MEASURES,
    SNR_EDGES,
    divisor,
    floored_pixels,
    measure,
    summarise,
    summarise_bins,
)


def test_measures_have_their_closed_forms():
    target = torch.tensor([[0.5, 0.5, 0.25, 1.0]])
    denoised = target + torch.tensor([[0.05, -0.05, 0.05, 0.0]])
    found = measure(denoised, target, floor=0.02)
    assert found.mean_abs_relative_error == pytest.approx((0.1 + 0.1 + 0.2 + 0.0) / 4, rel=1e-5)
    assert found.mean_relative_error == pytest.approx((0.1 - 0.1 + 0.2 + 0.0) / 4, rel=1e-5)
    assert found.max_abs_relative_error == pytest.approx(0.2, rel=1e-5)
    assert found.mean_abs_error == pytest.approx(0.15 / 4, rel=1e-5)
    assert found.max_abs_error == pytest.approx(0.05, rel=1e-5)
    assert found.mean_error == pytest.approx(0.05 / 4, rel=1e-5)
    assert found.abs_error[0] == pytest.approx(
        np.percentile([0.05, 0.05, 0.05, 0], [10, 50, 90, 99])
    )
    assert found.abs_relative_error[0] == pytest.approx(
        np.percentile([0.1, 0.1, 0.2, 0.0], [10, 50, 90, 99]), rel=1e-5
    )
    shares = np.array([2, 2, 1, 4]) / 9
    others = np.array([0.55, 0.45, 0.3, 1.0]) / 2.3
    assert found.kl_divergence == pytest.approx((shares * np.log(shares / others)).sum(), rel=1e-4)


def test_a_divergence_is_of_shares_and_finite_where_a_spectrum_is_not_positive():
    target = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert measure(1.3 * target, target, 0.02).kl_divergence == pytest.approx(0.0, abs=1e-9)
    dark = torch.tensor([[0.5, 0.5, 0.5, -0.5]])  # counts as 0.01
    shares = np.array([0.5, 0.5, 0.5, 0.01]) / 1.51
    expected = (0.25 * np.log(0.25 / shares)).sum()
    assert measure(dark, target, 0.02).kl_divergence == pytest.approx(expected, rel=1e-5)


def test_a_parameter_s_bins_count_only_what_was_interpolated_along_it():
    results = results_of([10.0] * 4, {"dae": [1.0, 2.0, 4.0, 8.0]})
    for name, values in {
        "teff": [4000.0, 4000, 4000, 4250],
        "logg": [2.0] * 4, "feh": [0.0] * 4, "alpha": [0.0] * 4,
    }.items():  # fmt: skip
        results[name] = ("spectrum", np.array(values, np.float32))
    results["interpolated_axis"] = ("spectrum", np.array([0, 1, -1, 0], np.int8))
    table = binned(results)
    teff = table.isel(bin=table["axis"].values == "teff")
    assert list(teff["low"].values) == [4000] and list(teff["high"].values) == [4250]
    assert int(teff["count"][0]) == 3  # the upper edge of the last bin is in it
    logg = table.isel(bin=table["axis"].values == "logg")
    assert int(logg["count"].sum()) == 2  # row 1, and row 2 that varies in all
    mean = teff["value"].sel(measure="mean_abs_relative_error", statistic="mean")
    assert float(mean[0, 0]) == pytest.approx((1 + 4 + 8) / 3)


def test_a_dark_pixel_is_divided_by_the_floor_and_counted():
    target = torch.tensor([[0.5, 0.5, 0.5, 0.001, -0.2]])
    assert divisor(target, 0.02)[0].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.01, 0.01])
    assert floored_pixels(target, 0.02) == 2
    assert measure(target + 0.01, target, 0.02).max_abs_relative_error == pytest.approx(1.0)


def test_gaussian_noise_has_the_expected_mean_error():
    generator = torch.Generator().manual_seed(0)
    target = torch.full((50, 4096), 0.5)
    noisy = target + 0.05 * torch.randn(target.shape, generator=generator)
    expected = np.sqrt(2 / np.pi) * 0.1
    assert measure(noisy, target, 0.02).mean_abs_relative_error.mean() == pytest.approx(
        expected, rel=0.005
    )


def results_of(snr: list[float], errors: dict[str, list[float]]) -> xr.Dataset:
    values = np.array(list(errors.values()))
    results = xr.Dataset(
        {name: (("method", "spectrum"), values) for name in MEASURES},
        coords={"method": list(errors)},
    )
    results["snr"] = ("spectrum", np.array(snr))
    for name in ("floor", "floor_thread"):
        results[name] = ("spectrum", np.full(len(snr), np.nan))
    return results


def test_a_bin_is_compared_with_the_limit_on_those_spectra_that_have_one():
    """A ratio of means, and its standard error by the law of a ratio's linear part."""
    errors = [2.0, 5.0, 4.0, 9.0]
    results = results_of([10.0] * 4, {"none": [0.0] * 4, "dae": errors})
    results["floor"] = ("spectrum", np.array([1.0, 4.0, 3.0, np.nan]))
    results["floor_thread"] = ("spectrum", np.array([1.0, 2.0, 3.0, np.nan]))
    part = summarise(results, 9.0, 11.0)
    assert (part["count"], part["limit_count"]) == (4, 3)
    assert (part["floor"], part["floor_thread"]) == pytest.approx((8 / 3, 2.0))
    assert part["eta"] == pytest.approx(11 / 8)
    rest = np.array(errors[:3]) - 11 / 8 * np.array([1.0, 4.0, 3.0])
    spread = np.sqrt((rest**2).sum() / 2)
    assert part["eta_error"] == pytest.approx(spread / np.sqrt(3) / (8 / 3))
    alone = summarise(results.isel(spectrum=[0]), 9.0, 11.0)
    assert (alone["limit_count"], alone["eta"], alone["eta_error"]) == (1, 2.0, None)
    none = summarise(results.isel(spectrum=[3]), 9.0, 11.0)
    assert none["limit_count"] == 0
    assert {none[n] for n in ("floor", "floor_thread", "eta", "eta_error")} == {None}


def test_bins_hold_their_lower_edge_and_not_their_upper():
    results = results_of([5.0, 6.9, 7.0, 200.0], {"none": [1, 3, 9, 4], "dae": [0.5, 1.5, 2, 1]})
    bins = summarise_bins(results)["bins"]
    assert [part["count"] for part in bins] == [0, 2, 1, 0, 0, 0, 0, 1]
    assert bins[1]["methods"]["none"]["mean_abs_relative_error"] == 2.0
    assert bins[1]["methods"]["dae"]["bias"] == 1.0
    assert bins[0]["methods"]["dae"]["mean_abs_relative_error"] is None
    assert (bins[0]["snr_low"], bins[0]["snr_high"], bins[-1]["snr_high"]) == (0.0, 5.0, None)
    assert len(bins) == len(SNR_EDGES) - 1


def test_the_worst_pixel_is_a_median_over_spectra():
    results = results_of([10, 10, 10], {"dae": [0.1, 0.2, 50.0]})
    part = summarise(results, 9.0, 11.0)
    assert part["methods"]["dae"]["max_abs_relative_error_median"] == 0.2
    assert part["floor"] is None
