"""Computed lines of OH, oxygen and water against what is known of them."""

import numpy as np
import pytest

from simlib.etc.sky import oh, oxygen, telluric


@pytest.mark.parametrize(
    ("band", "pair"),
    [
        ((8, 3), (727.841, 727.844)),
        ((4, 0), (752.605, 752.610)),
        ((5, 1), (791.587, 791.592)),
        ((6, 2), (834.688, 834.693)),
        ((6, 2), (840.144, 840.154)),
        ((7, 3), (882.951, 882.956)),
    ],
)
def test_bright_oh_doublets_lie_where_the_night_sky_shows_them(band, pair):
    """Published night-sky wavelengths, vacuum, nm."""
    wavelength, strength = oh.band_lines(*band)
    bright = np.sort(wavelength[strength > 0.02])
    for line in pair:
        assert np.abs(bright - line).min() < 0.001


def test_a_band_of_oh_has_p_q_and_r_branches_that_share_its_light():
    wavelength, strength = oh.band_lines(6, 2)
    assert strength.sum() == pytest.approx(1.0)
    head = wavelength[strength > 1e-3].min()
    assert 826.0 < head < 829.0
    brightest = wavelength[np.argmax(strength)]
    assert brightest == pytest.approx(834.69, abs=0.01)  # P1(2)


def test_strengths_of_all_oh_bands_add_up_to_their_sums():
    wavelength, rate = oh.oh_lines()
    assert rate.sum() == pytest.approx(1.25 + 3 + 7.8 + 3.4 + 11.4 + 10.4 + 21.7 + 39.1 + 45.3)
    assert np.all(rate > 0)
    assert wavelength[rate > 0.1].min() > 640.0


def test_the_oxygen_a_band_has_its_head_and_its_first_lines():
    """Head at 759.4 nm (air 759.4, vacuum 759.6); P1(1) at 13118.04 cm-1."""
    nu, strength = oxygen.absorption_lines(oxygen.A_BAND)
    assert 1e7 / nu.max() == pytest.approx(759.58, abs=0.02)
    assert np.abs(nu - 13118.04).min() < 0.02
    assert strength.sum() == pytest.approx(2.296e-22)


def test_oxygen_lines_come_from_odd_rotation_alone_in_pairs():
    nu, strength, low, up = oxygen.band_lines(oxygen.A_BAND)
    assert np.all(strength > 0)
    np.testing.assert_allclose(nu, oxygen.A_BAND.origin + up - low)
    j = np.unique(np.round(up / oxygen.A_BAND.b_upper, 6))
    assert j[0] == 0.0  # J' = 0, then 2, 4, …: 6, 20 … times B
    assert np.all(np.abs(j[:3] - np.array([0.0, 6.0, 20.0])) < 0.01)


def test_each_lower_level_shares_its_lines_by_its_weight():
    """R and P from J = N add up to N + 1/2, half of 2 J + 1."""
    n = 7.0
    _, strength, low, _ = oxygen.band_lines(oxygen.A_BAND)
    from_level = np.abs(low - oxygen.ground_energy(oxygen.GROUND_0, np.array(n), 0)) < 1e-9
    assert from_level.sum() == 2
    assert strength[from_level].sum() == pytest.approx(n + 0.5)


def test_optical_depth_integrates_to_strength_times_column():
    """Oxygen alone (no water), over the A band, in wavenumber."""
    wavelength = np.arange(755.0, 775.0, 2e-4)
    depth = telluric.optical_depth(wavelength, 0.0)
    integral = -np.trapezoid(depth, 1e7 / wavelength)
    assert integral == pytest.approx(2.296e-22 * telluric.OXYGEN_COLUMN, rel=2e-3)


def test_water_absorbs_in_proportion_to_its_column():
    wavelength = np.arange(815.0, 830.0, 1e-3)
    one, three = (telluric.optical_depth(wavelength, mm) for mm in (1.0, 3.0))
    np.testing.assert_allclose(three, 3.0 * one, rtol=1e-12)
    assert np.all(telluric.optical_depth(wavelength, 0.0) < 1e-6)


def test_both_bands_of_oxygen_absorb() -> None:
    """A at 762 nm, B at 687 nm."""
    for low, high in ((759.5, 765.0), (686.5, 692.0)):
        assert telluric.optical_depth(np.linspace(low, high, 2000), 0.0).max() > 1.0
