"""The calculator against the numbers of the two published calculators, term by term.

Tolerance 1e-4 of every term in every pixel and condition; the largest deviation seen when this
was written stands beside each. Emission lines: relative where they matter, else 1e-5 of the sky.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simlib.config import Sky
from simlib.etc.optics import lsf, silicon
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.paths import reference_folder, shared_data_folder

LIGHT_NM_S = 2.99792458e17
TOLERANCE = 1e-4
RENAMED = {
    "seeing": "seeing_fwhm_800nm_arcsec",
    "zenith_angle": "zenith_angle_deg",
    "field_angle": "field_angle_deg",
    "moon_zenith_angle": "moon_zenith_angle_deg",
    "moon_target_angle": "moon_target_angle_deg",
    "moon_phase": "moon_phase",
    "exposure_time_s": "t_exp_s",
    "exposure_count": "n_exp",
    "ebv": "ebv_mag",
    "fiber_offset_arcsec": "fiber_offset_arcsec",
    "r_eff_arcsec": "r_eff_arcsec",
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return reference_folder("etc")


@pytest.fixture(scope="module")
def conditions(folder) -> xr.Dataset:
    with open(folder / "conditions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return xr.Dataset(
        {
            ours: ("condition", [float(row[theirs]) for row in rows])
            for ours, theirs in RENAMED.items()
        }
    )


@pytest.fixture(scope="module")
def sky():
    return load_sky(Sky(tables=str(shared_data_folder("etc"))))


def deviation(found, expected) -> float:
    """Largest relative deviation; where zero is expected, zero must be found."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.all(found[expected == 0] == 0)
    real = expected != 0
    return float(np.max(np.abs(found[real] / expected[real] - 1.0)))


def line_deviation(found, expected, total_sky) -> float:
    off = np.abs(np.asarray(found) - expected)
    matters = off > 1e-5 * total_sky
    return float(np.max(off[matters] / expected[matters], initial=0.0))


@pytest.fixture(scope="module", params=["factorised", "exact"])
def modified(request, folder, conditions, sky):
    terms = run_etc(
        conditions,
        load_instrument("pfs-redmr-2016-02-29"),
        sky,
        convention="modified",
        quadrature="reference",
        line_extinction=request.param,
    )
    return terms, np.load(folder / "etc_modified_c.npz")


@pytest.fixture(scope="module", params=["factorised", "exact"])
def upstream(request, folder, conditions, sky):
    terms = run_etc(
        conditions,
        load_instrument("pfs-redmr-2024-07-14"),
        sky,
        convention="upstream",
        quadrature="reference",
        line_extinction=request.param,
    )
    return terms, np.load(folder / "etc_upstream_py.npz")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sky_continuum_e", "sky_continuum"),  # 1.9e-5
        ("moon_e", "moon"),  # 2.9e-7
        ("stray_e", "stray"),  # 2.7e-6
        ("dark_e", "dark"),  # 0
        ("sky_subtraction_variance_e2", "sky_sub_sys"),  # 2.7e-5
        ("atmosphere_transmission", "atm_trans_smoothed"),  # 1.9e-5
        ("aperture_fraction", "fiber_aperture"),  # 6.0e-8
        ("effective_area_m2", "effective_area_m2"),  # 2e-16
        ("instrument_throughput", "throughput"),  # 2e-16
        ("trace_fraction", "frac_trace"),  # 2.5e-7
        ("trace_fraction_sky", "frac_trace_with_neighbours"),  # 2.4e-7
        ("extinction", "extinction_mag_per_airmass"),  # 1e-15
    ],
)
def test_modified_convention_equals_the_modified_tool(modified, ours, theirs):
    terms, expected = modified
    assert deviation(terms[ours], expected[theirs]) < TOLERANCE


def test_modified_convention_equals_the_tool_in_lines_total_and_conversion(modified):
    terms, expected = modified
    total_sky = expected["sky_continuum"] + expected["sky_lines"] + expected["moon"]
    assert line_deviation(terms.sky_lines_e, expected["sky_lines"], total_sky) < TOLERANCE  # 4e-7
    photons = terms.sky_continuum_e + terms.sky_lines_e + terms.moon_e + terms.stray_e
    total = photons + terms.dark_e + terms.exposure_count * terms.read_variance_e2
    assert deviation(total, expected["total"]) < TOLERANCE  # 8.6e-6
    per_hertz = terms.conversion_e * 1e16 * LIGHT_NM_S / terms.wavelength**2
    assert deviation(per_hertz, expected["conversion"]) < TOLERANCE  # 1.9e-5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sky_continuum_e", "sky_continuum"),  # 1.8e-5
        ("moon_e", "moon"),  # 3.2e-7
        ("stray_e", "stray"),  # 2.0e-6
        ("dark_e", "dark"),  # 0
        ("instrument_throughput", "throughput_adjusted"),  # 2e-16
        ("trace_fraction", "frac_trace"),  # 2.8e-7
        ("trace_fraction_sky", "frac_trace_with_neighbours"),  # 2.7e-7
    ],
)
def test_upstream_convention_equals_the_official_tool(upstream, ours, theirs):
    terms, expected = upstream
    assert deviation(terms[ours], expected[theirs]) < TOLERANCE


def test_upstream_convention_equals_the_tool_in_lines_total_and_conversion(upstream):
    terms, expected = upstream
    total_sky = expected["sky_continuum"] + expected["sky_lines"] + expected["moon"]
    assert line_deviation(terms.sky_lines_e, expected["sky_lines"], total_sky) < TOLERANCE  # 3e-6
    system = terms.exposure_count * terms.sky_subtraction_variance_e2
    assert deviation(system, expected["sky_sub_sys"]) < TOLERANCE  # 2.1e-5
    photons = terms.sky_continuum_e + terms.sky_lines_e + terms.moon_e + terms.stray_e
    total = terms.variance_margin * (photons + terms.dark_e + system + terms.read_variance_e2)
    assert deviation(total, expected["total_adjusted"]) < TOLERANCE  # 1.4e-5
    left_edge = terms.wavelength - 0.5 * 175.0 / 4096
    per_hertz = terms.conversion_e * 1e16 * LIGHT_NM_S / left_edge**2
    assert deviation(per_hertz, expected["conversion_left_edge"]) < TOLERANCE  # 1.7e-5


@pytest.mark.parametrize(("zenith_angle", "name"), [(0.0, "za0"), (45.0, "za45")])
def test_upstream_smoothed_transmission_equals_the_official_tool(
    upstream, conditions, sky, zenith_angle, name
):
    one = conditions.isel(condition=[0]).assign(zenith_angle=("condition", [zenith_angle]))
    instrument = load_instrument("pfs-redmr-2024-07-14")
    found = run_etc(one, instrument, sky, convention="upstream").atmosphere_transmission[0]
    assert deviation(found, upstream[1][f"atm_trans_smoothed_{name}"]) < TOLERANCE  # 1.8e-5


def test_line_spread_function_equals_the_tool(folder):
    expected = np.load(folder / "lsf.npz")
    instrument = load_instrument("pfs-redmr-2016-02-29")
    wavelength = expected["wavelength_nm"]
    transfer = lsf.mtf(instrument, wavelength)
    shapes = lsf.profile(transfer, expected["offset_pix"])
    peak = expected["profile"].max()
    assert np.abs(shapes - expected["profile"]).max() < 1e-6 * peak  # 1.7e-8
    sigma = lsf.fitted_sigma_pixels(transfer)
    assert deviation(sigma, expected["sigma_gauss_fit_pix"]) < 1e-4  # 4.8e-9
    smooth = lsf.lsf_sigma(instrument, wavelength) / instrument.pixel_nm
    assert deviation(smooth, expected["sigma_gauss_fit_pix"]) < 1e-4  # 2.2e-6
    depth = silicon.absorption_length_um(wavelength, instrument.temperature_k)
    assert deviation(depth, expected["si_absorption_length_um"]) < 1e-9
    assert deviation(silicon.refractive_index(wavelength), expected["si_index"]) < 1e-9


def test_profile_of_the_terms_equals_the_tool_on_its_wavelengths(folder, modified):
    expected = np.load(folder / "lsf.npz")
    found = modified[0].lsf_profile.sel(wavelength_lsf=expected["wavelength_nm"])
    np.testing.assert_allclose(found.offset, expected["offset_pix"], atol=1e-9)
    assert np.abs(found.values - expected["profile"]).max() < 1e-6 * expected["profile"].max()
