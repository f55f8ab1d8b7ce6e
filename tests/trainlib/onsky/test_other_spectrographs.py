"""Simulated stars behind other lines and another arm than a bundle learnt from: what it says."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.spectra.observed import Stated
from tests.trainlib.onsky.simulated_stars import (
    of_resolution,
    off_km_s,
    pulls,
    share_good,
    stars_seen_by,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
COUNT = 256
LEARNT, NEWEST = "pfs-redmr-2016-02-29", "pfs-redmr-2024-07-14"


@pytest.fixture(scope="module")
def stars():
    return stars_seen_by(LEARNT, COUNT)


@pytest.fixture(scope="module")
def usual(real_bundle, stars):
    return stars.denoised(real_bundle, 1)


def test_stars_of_four_times_its_resolution_are_answered_right_and_unflagged(
    real_bundle, stars, usual
):
    """Seen of 400, without polish: 99.5 %, and 98.8 % by lines as learnt; 40 % if not stated."""
    fine = of_resolution(stars, None)
    found = fine.denoised(real_bundle, 1, Stated(resolution=20_000.0))
    is_right = np.abs(pulls(found, fine)) < 3.0
    is_good = np.array([one.verdict == "good" for one in found])
    assert np.mean(is_right & is_good) > 0.80
    assert np.mean(is_right & is_good) > share_good(usual) - 0.05
    assert all(0.05 < one.convolved_nm < 0.07 and one.shared > 0.8 for one in found)
    # as well as by the instrument's own lines, on as much light
    ratio = np.std(np.clip(off_km_s(found, fine), -30, 30)) / np.std(
        np.clip(off_km_s(usual, stars), -30, 30)
    )
    assert ratio < 1.25


def test_stars_of_a_coarser_resolution_are_flagged_as_such_and_found_all_the_same(
    real_bundle, stars
):
    """Seen of 400, without polish: all flagged, 94 % within 30 km/s; the median is off by 3.3.

    Where it is not stated, 63 % are flagged for another reason, most of them as poor fits.
    """
    coarse = of_resolution(stars, 2000.0)
    found = coarse.denoised(real_bundle, 2, Stated(resolution=2000.0))
    assert np.mean(["coarser than trained" in one.verdict for one in found]) >= 0.95
    assert np.mean(np.abs(off_km_s(found, coarse)) < 30.0) >= 0.80
    assert not any(one.convolved_nm for one in found)


def test_a_newer_arm_of_the_same_lines_is_denoised_as_well(real_bundle, stars, usual):
    """Seen of 400: 67 % within the error of the redshift (69 % by the arm learnt), 98.8 % good.

    Errors are 0.368 % (0.343 %), all of it by the noise: with that of the arm learnt they are the
    same, since the two differ in throughput alone.
    """
    newer = stars_seen_by(NEWEST, COUNT)
    found = newer.denoised(real_bundle, 1)
    within = np.mean(np.abs(pulls(found, newer)) < 1.0)
    assert 0.60 < within < 0.76  # 68 %, give or take two sigma of so many stars and their errors
    assert share_good(found) > share_good(usual) - 0.02

    def off(some, seen):
        """Return the mean |R| of each, were all as bright."""
        made = np.stack([one.flux for one in some])
        return np.mean(np.abs(made / seen.flux - 1.0), axis=1)

    # the same noise, to see what the arm's other throughput alone does
    alike = replace(newer, variance=stars.variance).denoised(real_bundle, 1)
    assert np.mean(off(alike, newer)) < 1.03 * np.mean(off(usual, stars))
