"""The computed sky against the published tables of the same sky."""

import numpy as np
import pytest

from simlib.config import Sky
from simlib.etc.sky_comparison import BARS, compare_skies, draw_comparison
from tests.paths import shared_data_folder


@pytest.fixture(scope="module")
def comparison():
    return compare_skies(Sky(), str(shared_data_folder("etc")))


def test_oh_bands_agree_after_one_global_scale(comparison):
    assert len(comparison.bands) == 6
    assert sum(band.blends for band in comparison.bands) >= 30
    assert comparison.numbers["largest_band_deviation_dex"] < BARS["largest_band_deviation_dex"]


def test_the_default_level_is_that_of_the_tables(comparison):
    assert comparison.numbers["global_scale"] == pytest.approx(Sky().oh_scale, rel=0.05)


def test_line_positions_agree_within_a_tenth_of_a_pixel(comparison):
    numbers = comparison.numbers
    assert numbers["median_position_error_pixels"] < BARS["median_position_error_pixels"]
    assert numbers["share_of_positions_within_bar"] >= 0.9  # the list rounds to 0.23 pixels


def test_line_transmission_agrees_once_the_water_is_fitted(comparison):
    assert comparison.numbers["rms_transmission"] < BARS["rms_transmission"]


def test_variance_agrees_in_the_median(comparison):
    assert abs(comparison.numbers["median_variance_ratio"]) < BARS["median_variance_ratio"]


def test_the_figure_shows_both_skies_over_the_arm(comparison):
    figure = draw_comparison(comparison)
    top, middle, bottom = figure.axes
    assert {text.get_text() for text in top.get_legend().get_texts()} == {"tables", "embedded"}
    assert "wavelength" in bottom.get_xlabel()
    assert all(len(axes.lines) == 2 for axes in (top, middle, bottom))
    assert np.all(np.isfinite(comparison.curves["ratio"]))
