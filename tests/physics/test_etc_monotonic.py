"""Directions in which the calculator's terms must go."""

import numpy as np
import pytest

from simlib.config import Sky
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.simlib.etc.made import conditions


def median(term: str, sky: Sky | None = None, **changes) -> np.ndarray:
    terms = run_etc(
        conditions(**changes), load_instrument("pfs-redmr-2016-02-29"), load_sky(sky or Sky())
    )
    return terms[term].median("wavelength").values


@pytest.mark.parametrize(
    ("term", "name", "values", "sign"),
    [
        ("aperture_fraction", "seeing", np.linspace(0.3, 3.0, 12), -1),
        ("aperture_fraction", "fiber_offset_arcsec", np.linspace(0.0, 1.0, 6), -1),
        ("aperture_fraction", "r_eff_arcsec", np.linspace(0.0, 3.0, 6), -1),
        ("atmosphere_transmission", "zenith_angle", np.linspace(0.0, 84.0, 12), -1),
        ("sky_continuum_e", "zenith_angle", np.linspace(0.0, 60.0, 12), +1),
        ("sky_lines_e", "zenith_angle", np.linspace(0.0, 60.0, 12), +1),
        ("sky_continuum_e", "field_angle", np.linspace(0.0, 0.65, 12), -1),
        ("moon_e", "zenith_angle", np.linspace(0.0, 60.0, 12), +1),
        ("moon_e", "moon_zenith_angle", np.linspace(0.0, 89.9, 12), -1),
        ("moon_e", "moon_phase", np.linspace(0.0, 0.5, 12), +1),
        ("conversion_e", "ebv", np.linspace(0.0, 1.0, 6), -1),
    ],
)
def test_a_term_goes_one_way_with_a_condition(term, name, values, sign):
    assert np.all(sign * np.diff(median(term, **{name: values})) > 0)


@pytest.mark.parametrize("convention", ["centred", "modified"])
def test_more_water_absorbs_more_and_more_air_only_where_it_should(convention):
    """At the strongest water line, 823 nm, beside the smooth extinction."""
    terms = run_etc(
        conditions(zenith_angle=[0.0, 60.0]),
        load_instrument("pfs-redmr-2016-02-29"),
        load_sky(Sky(water_mm=3.0)),
        convention=convention,
    )
    lines = terms.atmosphere_transmission * 10 ** (
        0.4 * terms.extinction / np.cos(np.deg2rad(terms.zenith_angle))
    )
    overhead, low = lines.sel(wavelength=823.0, method="nearest").values
    assert overhead < 0.9
    if convention == "centred":
        assert low < overhead - 0.05
    else:
        assert low == pytest.approx(overhead, abs=1e-12)


def test_optically_thin_absorption_doubles_with_twice_the_air():
    """Where K is near 1, 1 - K^2 = 2 (1 - K): weak water lines at 790-800 nm."""
    terms = run_etc(
        conditions(zenith_angle=[0.0, 60.0]),
        load_instrument("pfs-redmr-2016-02-29"),
        load_sky(Sky(water_mm=0.2)),
    )
    lines = terms.atmosphere_transmission * 10 ** (
        0.4 * terms.extinction / np.cos(np.deg2rad(terms.zenith_angle))
    )
    lost = (1 - lines).sel(wavelength=slice(788.0, 800.0)).sum("wavelength").values
    assert lost[1] / lost[0] == pytest.approx(2.0, rel=0.01)


def test_fraunhofer_lines_mark_the_moonlight_and_keep_its_level():
    instrument, sky = load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky(water_mm=0.0))
    lined, plain = (
        run_etc(conditions(), instrument, sky, convention=name).moon_e[0]
        for name in ("centred", "modified")
    )
    ratio = lined / plain
    triplet = [float(ratio.sel(wavelength=w, method="nearest")) for w in (850.04, 854.44, 866.45)]
    assert all(value < 0.8 for value in triplet)
    away = ratio.where((ratio.wavelength < 757) | (ratio.wavelength > 772))
    assert float(away.mean()) == pytest.approx(1.0, abs=0.02)


def test_airglow_inside_the_oxygen_band_is_dimmed_by_it():
    instrument, sky = load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky())
    centred, modified = (
        run_etc(conditions(), instrument, sky, convention=name).sky_lines_e[0]
        for name in ("centred", "modified")
    )
    near = {"wavelength": slice(760.5, 761.5)}  # no bright line is needed: wings are dimmed alike
    outside = {"wavelength": slice(775.0, 800.0)}
    assert float(centred.sel(near).sum() / modified.sel(near).sum()) < 1.0
    assert float(centred.sel(outside).sum() / modified.sel(outside).sum()) == pytest.approx(
        1.0, abs=0.01
    )
