"""The calculator against answers that can be written down."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from simlib.config import Sky
from simlib.etc.optics import aperture, lsf
from simlib.etc.sky import moon
from simlib.etc.sky.atmosphere import airmass, slant
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument

PLANCK_TIMES_LIGHT = 6.62607015e-34 * 299792458.0


@pytest.fixture(scope="module")
def instrument():
    return load_instrument("pfs-redmr-2016-02-29")


def one(**changes) -> xr.Dataset:
    values = {
        "seeing": 0.8,
        "zenith_angle": 30.0,
        "field_angle": 0.3,
        "moon_zenith_angle": 45.0,
        "moon_target_angle": 90.0,
        "moon_phase": 0.2,
    } | changes
    return xr.Dataset({name: ("condition", np.atleast_1d(v)) for name, v in values.items()})


def test_airmass_is_one_overhead_and_five_at_the_horizon():
    assert airmass(np.array(0.0)) == 1.0
    assert airmass(np.array(90.0)) == pytest.approx(5.0)
    angles = np.linspace(0.0, 60.0, 61)
    assert np.all(airmass(angles) <= slant(angles))
    np.testing.assert_allclose(airmass(angles[:20]), slant(angles[:20]), rtol=3e-3)


def test_flat_ab_source_gives_the_photon_count_one_can_write_down(instrument):
    """A telescope of area A for t seconds collects F A t D / (h nu) photons in D nm."""
    terms = run_etc(one(), instrument, load_sky(Sky())).isel(condition=0)
    wavelength_m = terms.wavelength.values * 1e-9
    flux_w_m2_m = 1e-17 * 1e-7 * 1e4 * 1e10  # 1e-17 erg s-1 cm-2 AA-1
    photons = flux_w_m2_m * wavelength_m / PLANCK_TIMES_LIGHT * (175.0 / 4096) * 1e-9
    collected = photons * terms.effective_area_m2.values * 900.0
    share = (
        terms.instrument_throughput
        * terms.trace_fraction
        * terms.aperture_fraction
        * terms.atmosphere_transmission
    )
    np.testing.assert_allclose(terms.conversion_e, collected * share, rtol=1e-10)


def test_counts_grow_linearly_with_time_and_read_noise_does_not(instrument):
    sky = load_sky(Sky())
    short = run_etc(one(), instrument, sky, exposure_time_s=450.0)
    long = run_etc(one(), instrument, sky, exposure_time_s=900.0)
    for name in ("sky_continuum_e", "sky_lines_e", "moon_e", "stray_e", "dark_e", "conversion_e"):
        np.testing.assert_allclose(long[name], 2.0 * short[name], rtol=1e-12)
    assert long.read_variance_e2 == short.read_variance_e2 == 80.0


def share_of(instrument, seeing, spot, wavelength):
    field = aperture.Field(np.array([0.55]), np.array([spot]), np.ones(1))
    sharp = instrument.radius_um * spot / 0.55
    instrument = dataclasses.replace(instrument, spot_rms_um=np.full(5, sharp))
    share = aperture.fraction_in_fiber(
        instrument,
        field,
        np.array([seeing]),
        np.array([wavelength]),
        offset_arcsec=np.zeros(1),
        r_eff_arcsec=np.zeros(1),
    )
    return share[0, 0]


def diffraction_alone(wavelength, radius=0.55):
    """Integral of 2 pi R J1(2 pi u R) exp(-a u): 1 - a / sqrt(a^2 + (2 pi R)^2)."""
    a = 4 / np.pi * 0.206264806e-3 * wavelength / (8.3 * (1 - 0.22))
    return 1 - a / np.hypot(a, 2 * np.pi * radius)


def test_only_diffraction_keeps_light_out_of_the_fibre_when_seeing_is_tiny(instrument):
    for wavelength in (10.0, 800.0):
        share = share_of(instrument, 0.005, 0.005, wavelength)
        assert share == pytest.approx(diffraction_alone(wavelength), abs=2e-4)
    assert share_of(instrument, 0.005, 0.005, 10.0) > 0.999


@pytest.mark.parametrize("spot", [0.2, 0.4, 0.8])
def test_gaussian_blur_gives_the_textbook_share_in_a_disc(instrument, spot):
    share = share_of(instrument, 1e-4, spot, 1.0)  # no seeing, no diffraction to speak of
    assert share == pytest.approx(1 - np.exp(-(0.55**2) / (2 * spot**2)), abs=2e-4)


@pytest.mark.parametrize("kind", lsf.LSF_KINDS)
def test_line_profile_sums_to_one_over_pixels(instrument, kind):
    offset = np.arange(-96.0, 97.0)
    shapes = lsf.profile(lsf.mtf(instrument, np.array([720.0, 800.0, 880.0]), kind), offset + 0.3)
    # the grating's Lorentzian wings hold gamma = lambda / (2 pi D L) pixels at half maximum
    gamma = np.array([720.0, 800.0, 880.0]) / (2 * np.pi * 175 / 4096 * 55700)
    beyond = 0.0 if kind == "table2" else 2 * gamma / (np.pi * 96.5)
    np.testing.assert_allclose(shapes.sum(axis=1), 1.0 - beyond, atol=3e-4)
    assert np.all(shapes > -1e-12)


def test_gaussian_line_profile_is_found_again_by_the_fit(instrument):
    sigma = lsf.lsf_sigma(instrument, np.array([700.0, 800.0, 895.0]), "table2")
    np.testing.assert_allclose(sigma, 0.16 / (2 * np.sqrt(2 * np.log(2))), rtol=1e-6)


def test_moon_below_the_horizon_gives_no_light_at_all(instrument):
    angles = np.array([89.9, 90.0, 120.0])
    conditions = one(
        moon_zenith_angle=angles,
        **{
            name: np.full(3, value)
            for name, value in (
                ("seeing", 0.8),
                ("zenith_angle", 30.0),
                ("field_angle", 0.3),
                ("moon_target_angle", 90.0),
                ("moon_phase", 0.2),
            )
        },
    )
    light = run_etc(conditions, instrument, load_sky(Sky())).moon_e
    assert np.all(light[0] > 0)
    assert np.all(light[1:] == 0)


def test_full_moon_is_brightest_and_both_ways_round_the_same():
    phases = np.linspace(0.0, 0.5, 51)
    assert np.all(np.diff(moon.phase_brightness(phases)) > 0)
    np.testing.assert_allclose(moon.phase_brightness(1.0 - phases), moon.phase_brightness(phases))
