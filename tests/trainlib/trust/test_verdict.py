"""What speaks against an answer, in words and as one number."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from trainlib.trust.verdict import GOOD, SPEAKS_AGAINST, Measures, is_at_edge, suspicion, verdict

KEPT = {"misfit": 0.3, "runs": -0.5, "features": 0.9, "distance": 0.0}
CLEAN = Measures(
    snr=20.0, covered=1.0, suspects=0.0, log_odds=30.0, at_edge=False, sharpness=1.0, odd=KEPT
)
SPOILT = {
    "poor fit": {"odd": KEPT | {"misfit": 1.1}},
    "poor fit in runs": {"odd": KEPT | {"runs": 7.0}},
    "unseen features": {"odd": KEPT | {"features": 1.0}},
    "far from training": {"odd": KEPT | {"distance": 2.0}},
    "suspect pixels": {"suspects": 0.01},
    "coarser than trained": {"sharpness": 0.5},
    "redshift at the edge": {"at_edge": True},
    "redshift unsure": {"log_odds": 1.0},
    "faint": {"snr": 1.0},
    "little seen": {"covered": 0.2},
}


def test_a_clean_answer_is_good() -> None:
    assert verdict(CLEAN) == GOOD and suspicion(CLEAN) == 0.9


@pytest.mark.parametrize("kind", SPEAKS_AGAINST)
def test_each_thing_that_speaks_against_an_answer_is_told_and_counts(kind: str) -> None:
    spoilt = replace(CLEAN, **SPOILT[kind])
    assert verdict(spoilt) == kind and suspicion(spoilt) >= 1.0


def test_all_are_told_in_order() -> None:
    assert set(SPOILT) == set(SPEAKS_AGAINST)
    both = replace(CLEAN, snr=1.0, odd=KEPT | {"misfit": 2.0})
    assert verdict(both) == "poor fit, faint"


def test_what_is_not_known_speaks_against_it() -> None:
    for spoilt in ({"odd": KEPT | {"misfit": nan}}, {"snr": nan}, {"log_odds": nan},
                   {"log_odds": -1.0}, {"snr": 0.0}):  # fmt: skip
        assert verdict(replace(CLEAN, **spoilt)) != GOOD
        assert suspicion(replace(CLEAN, **spoilt)) == inf


def test_the_edge_is_a_pixel_and_a_half_beyond_the_known_redshifts() -> None:
    wavelength = 800.0 + 0.08 * np.arange(101)
    known, pixel = (-0.001, 0.001), 0.08 / 804.0
    assert not is_at_edge(0.001 + 1.4 * pixel, known, wavelength)
    assert is_at_edge(0.001 + 1.6 * pixel, known, wavelength)
    assert is_at_edge(-0.001 - 1.6 * pixel, known, wavelength) and is_at_edge(
        nan, known, wavelength
    )
