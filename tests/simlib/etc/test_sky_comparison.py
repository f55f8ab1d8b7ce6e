"""A sky beside another that is made from it: what is told is what was changed."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from simlib.config import Sky
from simlib.etc import sky_comparison as module
from simlib.etc.sky import telluric
from simlib.etc.sky.model import load_sky
from simlib.etc.sky_comparison import BARS, Band, SkyComparison, draw_comparison
from simlib.instrument import load_instrument
from simlib.units import SPEED_OF_LIGHT_M_S

ARM = load_instrument(module.INSTRUMENT)
NUMBERS = {
    "global_scale": 1.2345, "blends": 37.0, "median_position_error_pixels": 0.0567,
    "rms_position_error_pixels": 0.0891, "share_of_positions_within_bar": 0.9123,
    "water_mm": 1.678, "rms_transmission": 0.00789, "median_variance_ratio": -0.0234,
}  # fmt: skip


def listed(off_pixels: float, factors: dict[str, float]) -> Any:
    """Return the computed lines as a list might have them: moved, and each band brighter."""
    bands = module._bands(ARM)
    moved = [wavelength + off_pixels * ARM.pixel_nm for wavelength, _ in bands.values()]
    rates = [flux * factors.get(name, 2.0) for name, (_, flux) in bands.items()]
    return SimpleNamespace(
        line_wavelength_nm=np.concatenate(moved), line_rate=np.concatenate(rates)
    )


def test_a_list_of_the_same_lines_is_told_by_what_was_done_to_it() -> None:
    names = list(module._bands(ARM))
    bands, told = module._compare_lines(ARM, listed(0.06, {}))
    assert [band.band for band in bands] == names and len(names) == 6
    assert told["global_scale"] == pytest.approx(2.0, rel=0.01)
    assert told["blends"] == sum(band.blends for band in bands) >= 30
    assert told["largest_band_deviation_dex"] < 0.005
    median, rms = (told[f"{name}_position_error_pixels"] for name in ("median", "rms"))
    assert median == pytest.approx(0.06, abs=0.01) and rms == pytest.approx(0.06, abs=0.02)
    assert told["share_of_positions_within_bar"] > 0.95
    brighter, _ = module._compare_lines(ARM, listed(0.0, {names[2]: 2.5}))
    others = [band.dex for band in brighter if band.band != names[2]]
    assert brighter[2].dex - np.median(others) == pytest.approx(np.log10(1.25), abs=0.01)
    assert others == pytest.approx(len(others) * [np.median(others)], abs=0.01)
    for band, usual in zip(brighter, bands, strict=True):
        assert band.embedded == pytest.approx(usual.embedded, rel=0.02)
    _, far = module._compare_lines(ARM, listed(0.5, {}))
    assert far["share_of_positions_within_bar"] < 0.1


def test_lines_nearer_than_two_pixels_are_one_at_their_centre_of_light() -> None:
    wavelength, flux = np.array([800.2, 800.0, 800.07, 801.0]), np.array([4.0, 1.0, 3.0, 1e-9])
    places, total = module._blends(wavelength, flux)
    assert places == pytest.approx([800.0525, 800.2]) and total == pytest.approx([4.0, 4.0])


def test_a_curve_is_smoothed_by_line_and_blur_in_quadrature() -> None:
    fine = np.arange(700.0, 895.0, 0.005)
    step = (fine > 800.0).astype(float)
    width = float(module.lsf.lsf_sigma(ARM, np.array(0.5 * (fine[0] + fine[-1]))))
    blur = 797.4975 * 25e3 / SPEED_OF_LIGHT_M_S
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FINE_STEP_NM", 0.005)
        for speed, sigma in ((0.0, width), (25e3, np.hypot(width, blur))):
            seen = module._at_pixels(ARM, fine, step, speed)
            expected = ndtr((ARM.wavelength - 800.0025) / sigma)
            near = np.abs(ARM.wavelength - 800.0) < 10.0  # far off the width is another
            np.testing.assert_allclose(seen[near], expected[near], atol=2e-3)


def test_the_water_of_the_other_sky_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FINE_STEP_NM", 0.01)
    monkeypatch.setattr(module, "TABLE_BLUR_M_S", 0.0)
    fine = np.arange(*module.SPAN_NM, 0.01)
    tables: Any = SimpleNamespace(
        telluric_wavelength_nm=fine,
        telluric_transmission=np.exp(-telluric.optical_depth(fine, 3.0)),
    )
    water, rms, curves = module._compare_absorption(ARM, tables)
    assert water == pytest.approx(3.0, abs=0.02) and rms < 1e-4
    assert set(curves) == {"transmission", "transmission_tables"}
    assert np.abs(curves["transmission"] - curves["transmission_tables"]).max() < 1e-3


def test_a_sky_beside_itself_has_its_variance_and_beside_a_brighter_one_less() -> None:
    usual, brighter = load_sky(Sky()), load_sky(Sky(continuum_scale=2.0))
    ratio, counts = module._compare_variance(ARM, usual, usual)
    assert np.array_equal(ratio, np.ones(4096)) and set(counts) == {"sky", "sky_tables"}
    ratio, counts = module._compare_variance(ARM, usual, brighter)
    assert ratio.max() < 1.0 and (counts["sky"] < counts["sky_tables"]).all()


def test_what_was_found_is_told_and_drawn() -> None:
    bands = (Band("6-2", 5, 1.5, 2.5, 0.0123), Band("7-3", 6, 3.5, 4.5, -0.0456))
    names = ("sky", "sky_tables", "transmission", "transmission_tables", "ratio")
    curves = {name: np.full(4096, 0.5 + 0.1 * n) for n, name in enumerate(names)}
    found = SkyComparison(NUMBERS, bands, ARM.wavelength, curves)
    assert list(found.lines()) == [
        ("OH 6-2, 5 blends", "+0.012 dex", "0.1"), ("OH 7-3, 6 blends", "-0.046 dex", "0.1"),
        ("tables / embedded, OH flux", "1.234", ""), ("blends in both", "37", ""),
        ("line position, median error, pixels", "0.0567", "0.1"),
        ("line position, rms error, pixels", "0.0891", ""),
        ("… share within the bar and the tables' rounding", "0.9123", ""),
        ("water that fits the tables, mm", "1.678", ""),
        ("line transmission, rms outside O2 A", "0.00789", "0.015"),
        ("variance with a flat AB 20 source, median ratio - 1", "-0.0234", "0.1"),
    ]  # fmt: skip
    assert found.record() == NUMBERS | {"bands": [asdict(one) for one in bands], "bars": BARS}
    figure = draw_comparison(found)
    drawn = [[line.get_ydata()[0] for line in axes.lines] for axes in figure.axes]
    assert drawn == [[0.6, 0.5], [0.8, 0.7], pytest.approx([0.9, 0.9766])]
    top, middle, bottom = figure.axes
    assert [text.get_text() for text in top.get_legend().get_texts()] == ["tables", "embedded"]  # type: ignore[union-attr]
    assert middle.get_title() == "water 1.68 mm fitted; rms outside O2 A 0.79 %"
    assert "electron per pixel" in top.get_ylabel() and "variance" in bottom.get_ylabel()
    assert bottom.get_xlabel() == "wavelength [nm, vacuum]" and "line" in middle.get_ylabel()
