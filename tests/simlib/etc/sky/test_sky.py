"""Skies from tables and instruments from files: what they may leave out, what they must state."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from simlib.config import Sky
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import FOLDER, known_instruments, load_instrument
from tests.simlib.etc.made import conditions, write_sky_tables


@pytest.fixture(scope="module")
def instrument():
    return load_instrument("pfs-redmr-2016-02-29")


@pytest.mark.parametrize(("stated", "power"), [(None, 0.0), (1.0, 2.0), (2.0, 1.0)])
def test_a_table_of_absorption_follows_the_airmass_only_if_it_states_its_own(
    tmp_path, instrument, stated, power
):
    """At 60 degrees the path is 2; a table for airmass A holds K^(2 / A) there."""
    sky = load_sky(Sky(tables=str(write_sky_tables(tmp_path, stated))))
    terms = run_etc(conditions(zenith_angle=60.0), instrument, sky)
    lines = terms.atmosphere_transmission[0] * 10 ** (0.4 * terms.extinction * 2.0)
    depth = 1 - float(lines.sel(wavelength=760.0, method="nearest"))
    expected = 1 - 0.5 ** (power or 1.0)  # at the centre, before smoothing
    assert 0.85 * expected < depth < expected


def test_one_line_of_a_table_lights_its_pixels_alone(tmp_path, instrument):
    """800 nm in air is 800.22 nm in vacuum; a negative line gives nothing."""
    sky = load_sky(Sky(tables=str(write_sky_tables(tmp_path))))
    lines = run_etc(conditions(), instrument, sky).sky_lines_e[0]
    centre = float((lines * lines.wavelength).sum() / lines.sum())
    assert centre == pytest.approx(800.22, abs=0.005)
    assert float(lines.sel(wavelength=820.22, method="nearest")) == 0.0


def test_optional_tables_replace_the_embedded_ones(tmp_path, instrument):
    folder = write_sky_tables(tmp_path)
    (folder / "extinction_clear.csv").write_text("wavelength_nm,k_mag_per_airmass\n500,0\n900,0\n")
    (folder / "galactic_extinction.csv").write_text("wavelength_nm,A_over_EBV\n600,1\n900,1\n")
    sky = load_sky(Sky(tables=str(folder)))
    terms = run_etc(conditions(ebv=[0.0, 1.0]), instrument, sky)
    assert np.all(terms.extinction == 0)
    np.testing.assert_allclose(terms.conversion_e[1] / terms.conversion_e[0], 10**-0.4, rtol=1e-9)


def test_the_same_tables_have_the_same_checksum_wherever_they_lie(tmp_path):
    one, two = write_sky_tables(tmp_path / "one"), write_sky_tables(tmp_path / "two")
    assert load_sky(Sky(tables=str(one))).checksum == load_sky(Sky(tables=str(two))).checksum
    assert load_sky(Sky()).checksum != load_sky(Sky(water_mm=2.0)).checksum


def test_edited_tables_are_read_anew(tmp_path):
    folder = write_sky_tables(tmp_path)
    before = load_sky(Sky(tables=str(folder))).checksum
    write_sky_tables(tmp_path, airmass=1.0)
    assert load_sky(Sky(tables=str(folder))).checksum != before


def test_an_instrument_is_added_by_adding_a_file(tmp_path, instrument):
    for suffix in (".toml", ".csv"):
        shutil.copy(str(FOLDER / f"pfs-redmr-2016-02-29{suffix}"), tmp_path)
    path = tmp_path / "pfs-redmr-2016-02-29.toml"
    text = path.read_text().replace("outer_diameter_m = 8.3", "outer_diameter_m = 4.15")
    (tmp_path / "half.toml").write_text(text)
    half = load_instrument(str(tmp_path / "half.toml"))
    assert half.name == "half"
    assert half.checksum != instrument.checksum
    sky = load_sky(Sky())
    area = [float(run_etc(conditions(), i, sky).effective_area_m2[0]) for i in (half, instrument)]
    assert area[0] / area[1] == pytest.approx(0.25)


def test_shipped_instruments_have_the_arm_of_the_paper(instrument):
    assert known_instruments() == ["pfs-redmr-2016-02-29", "pfs-redmr-2024-07-14"]
    assert instrument.wavelength.shape == (4096,)
    assert instrument.wavelength_edges[[0, -1]].tolist() == [710.0, 885.0]
    np.testing.assert_allclose(np.diff(instrument.wavelength_edges), instrument.pixel_nm)
    assert Path(str(FOLDER / "pfs-redmr-2024-07-14.csv")).is_file()
