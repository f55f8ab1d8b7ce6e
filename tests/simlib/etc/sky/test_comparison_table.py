"""A comparison of skies as a table: each quantity once, and its bar where it has one."""

import numpy as np

from simlib.etc.grid.build import RANGED
from simlib.etc.sky_comparison import BARS, CONDITION, Band, SkyComparison

NUMBERS = {
    "global_scale": 1.25, "blends": 77.0, "median_position_error_pixels": 0.03,
    "rms_position_error_pixels": 0.07, "share_of_positions_within_bar": 0.99, "water_mm": 1.5,
    "rms_transmission": 0.011, "median_variance_ratio": -0.0421, "largest_band_deviation_dex": 0.05,
}  # fmt: skip


def test_every_line_holds_its_number_and_its_bar() -> None:
    bands = (Band("7-2", 12, 3.0, 4.0, 0.0314), Band("6-2", 5, 1.0, 1.0, -0.5))
    lines = list(SkyComparison(NUMBERS, bands, np.arange(3.0)).lines())
    assert lines[:2] == [("OH 7-2, 12 blends", "+0.031 dex", "0.1"),
                         ("OH 6-2, 5 blends", "-0.500 dex", "0.1")]  # fmt: skip
    found = {name: (value, bar) for name, value, bar in lines[2:]}
    assert found["tables / embedded, OH flux"] == ("1.25", "")
    assert found["blends in both"] == ("77", "")
    assert found["line position, median error, pixels"] == ("0.03", "0.1")
    assert found["line transmission, rms outside O2 A"] == ("0.011", "0.015")
    assert found["variance with a flat AB 20 source, median ratio - 1"] == ("-0.0421", "0.1")
    assert len(found) == len(NUMBERS) - 1  # the largest of the bands stands in their lines
    told = SkyComparison(NUMBERS, bands, np.arange(3.0)).record()
    assert told["bars"] == BARS and told["water_mm"] == 1.5


def test_it_is_made_under_a_condition_that_says_everything() -> None:
    assert set(CONDITION) == set(RANGED)
