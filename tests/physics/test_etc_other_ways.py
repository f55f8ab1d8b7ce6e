"""What the calculator does when it is not asked for its defaults, against what can be written down.

A tabulated continuum, table 2's line width, the published quadrature, moons full, low and set,
tables that run downwards.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.special import j1

from simlib.air_wavelengths import air_to_vacuum
from simlib.config import Conditions, SimulationConfig, Sky
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.check import check_terms_grid
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.shipped_tables import EMBEDDED
from simlib.etc.signal_to_noise import read_spectrum
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import FOLDER, Instrument, load_instrument
from tests.simlib.etc.made import conditions, write_sky_tables

NAME = "pfs-redmr-2016-02-29"


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return load_instrument(NAME)


def terms_at(instrument: Instrument, sky: Sky | None = None, **changes: object) -> xr.Dataset:
    named = ("lsf", "quadrature", "convention", "line_extinction")
    options = {k: changes.pop(k) for k in named if k in changes}
    return run_etc(conditions(**changes), instrument, load_sky(sky or Sky()), **options)  # type: ignore[arg-type]


def test_a_tabulated_continuum_is_counted_as_it_is_seen_from_the_ground(
    instrument: Instrument,
) -> None:
    """At the zenith and out of the lines the air takes nothing: it has taken already."""
    sky = Sky(continuum="skycalc", continuum_scale=1.25, water_mm=0.0)
    terms = terms_at(instrument, sky, zenith_angle=0.0, field_angle=0.0).isel(condition=0)
    table = np.loadtxt(EMBEDDED / "sky_continuum_skycalc.csv", delimiter=",", skiprows=4)
    wavelength = terms["wavelength"].values
    per_nm = 1e-3 * np.interp(wavelength, *table.T)
    radius = 0.206264806 * 63.5 / 23.39  # arcsec
    seen = 1.25 * per_nm * 900.0 * np.pi * radius**2 * float(terms["effective_area_m2"])
    detected = (175.0 / 4096) * terms["instrument_throughput"] * terms["trace_fraction_sky"]
    lines = terms["atmosphere_transmission"] * 10 ** (0.4 * terms["extinction"])
    assert float(lines.max()) == pytest.approx(1.0, abs=1e-9)  # but for oxygen's
    np.testing.assert_allclose(terms["sky_continuum_e"], seen * detected * lines, rtol=1e-6)


def test_table_2_s_line_is_its_gaussian(tmp_path: Path, instrument: Instrument) -> None:
    sigma = 0.16 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    one_line = Sky(tables=str(write_sky_tables(tmp_path)))
    terms = terms_at(instrument, one_line, lsf="table2").isel(condition=0)
    np.testing.assert_allclose(terms["lsf_sigma"], sigma, rtol=1e-6)
    pixels = sigma / (175.0 / 4096)
    bell = np.exp(-0.5 * (terms["offset"] / pixels) ** 2) / (pixels * np.sqrt(2.0 * np.pi))
    np.testing.assert_allclose(terms["lsf_profile"], bell.broadcast_like(terms["lsf_profile"]),
                               atol=1e-9)  # fmt: skip
    lines, wavelength = terms["sky_lines_e"], terms["wavelength"]
    centre = float((lines * wavelength).sum() / lines.sum())
    spread = float((lines * (wavelength - centre) ** 2).sum() / lines.sum())
    assert np.sqrt(spread) == pytest.approx(sigma, rel=1e-3)
    assert terms.attrs["lsf"] == "table2"


def test_the_reference_quadrature_is_fifty_midpoints(instrument: Instrument) -> None:
    u = 0.024 * (np.arange(50) + 0.5)
    field, focal, spot = 0.325, 24.48, 9.7
    radius, blur = (0.206264806 * um / focal for um in (63.5, spot))
    terms = terms_at(instrument, quadrature="reference", seeing=0.6, field_angle=field)
    for pixel in (0, 1500, 4095):
        wavelength = float(terms["wavelength"][pixel])
        wings = 4 / np.pi * 0.206264806e-3 * wavelength / (8.3 * (1 - 0.22))
        cutoff = 0.465 / 0.6 * (wavelength / 800) ** 0.2
        turn = 2 * np.pi * u
        transfer = np.exp(-0.5 * (turn * blur) ** 2 - (u / cutoff) ** (5 / 3) - wings * u)
        share = 2 * np.pi * radius * 0.024 * np.sum(j1(turn * radius) * transfer)
        assert float(terms["aperture_fraction"][0, pixel]) == pytest.approx(share, rel=1e-6)


def test_moonlight_follows_the_phase_as_published(instrument: Instrument) -> None:
    """Krisciunas & Schaefer 1991, eqs. 9 and 20; a third brighter within 7 degrees of full."""
    phases = np.array([0.5, 0.49, 0.4, 0.25, 0.8, 0.0])
    angle = 360.0 * np.abs(phases - 0.5)
    brightness = 10 ** (-0.4 * (0.026 * angle + 4e-9 * angle**4))
    brightness = brightness * np.where(angle < 7.0, 1.35 - 0.05 * angle, 1.0)
    light = terms_at(instrument, moon_phase=phases)["moon_e"]
    for row, expected in enumerate(brightness / brightness[3]):
        np.testing.assert_allclose(light[row] / light[3], expected, rtol=1e-9)


def test_moonlight_is_dimmed_on_its_own_path_and_ends_at_the_horizon(
    instrument: Instrument,
) -> None:
    zenith = np.array([0.0, 60.0, 89.0, 90.0, 91.0, 180.0])
    terms = terms_at(instrument, moon_zenith_angle=zenith)
    light = terms["moon_e"]
    extinction = np.loadtxt(EMBEDDED / "extinction_maunakea.csv", delimiter=",", comments="#",
                            skiprows=_head(EMBEDDED / "extinction_maunakea.csv"))  # fmt: skip
    in_v = np.interp(550.0, *extinction.T)
    path = 1.0 / np.sqrt(1.0 - 0.96 * np.sin(np.deg2rad(zenith)) ** 2)
    for row in (1, 2):
        expected = 10 ** (-0.4 * in_v * (path[row] - path[0]))
        np.testing.assert_allclose(light[row] / light[0], expected, rtol=1e-9)
    assert not light[3:].any()
    moonless = terms["sky_continuum_e"] + terms["sky_lines_e"]
    share = 0.02 * 5 * 15.0 / 100.0  # of stray light, on the width of one trace
    np.testing.assert_allclose(terms["stray_e"][3:], share * moonless.mean("wavelength")[3:])


@pytest.mark.parametrize(("line_extinction", "off"), [("exact", 1e-8), ("factorised", 1e-6)])
def test_a_line_is_dimmed_on_its_way_as_can_be_written_down(
    line_extinction: str, off: float, tmp_path: Path, instrument: Instrument
) -> None:
    """Line by line to rounding, by nodes as well as is promised."""
    zenith = np.array([0.0, 20.0, 40.0, 60.0])
    one_line = Sky(tables=str(write_sky_tables(tmp_path)))
    terms = terms_at(instrument, one_line, zenith_angle=zenith, line_extinction=line_extinction)
    light = terms["sky_lines_e"].sum("wavelength").values
    file = EMBEDDED / "extinction_maunakea.csv"
    table = np.loadtxt(file, delimiter=",", skiprows=_head(file))
    airmass = 1.0 / np.sqrt(1.0 - 0.96 * np.sin(np.deg2rad(zenith)) ** 2)
    in_front = np.interp(float(air_to_vacuum(np.array(800.0))), *table.T) / 1.086
    expected = airmass * np.exp(-in_front * airmass)
    difference = np.abs(light / light[0] / (expected / expected[0]) - 1.0)
    assert difference.max() < off
    assert line_extinction == "exact" or difference.max() > 1e-8  # by nodes indeed


def _head(path: Path) -> int:
    """Return the lines of a table before its numbers."""
    lines = path.read_text().splitlines()
    return next(n for n, line in enumerate(lines) if line and line[0] in "-0123456789")


def test_a_grid_of_every_moon_is_within_its_tolerance_and_dark_where_it_is_set(
    instrument: Instrument,
) -> None:
    every = Conditions(moon_phase=(0.0, 1.0), moon_zenith_angle=(0.0, 180.0))
    config = SimulationConfig(conditions=every)
    grid = build_terms_grid(config)
    assert check_terms_grid(grid, config, rows=64).is_good
    assert float(grid["moon_zenith_angle"][-1]) == 90.0  # no node is spent on what is dark
    moons = {"moon_phase": [0.5, 0.5, 0.9, 0.5], "moon_zenith_angle": [30.0, 80.0, 60.0, 120.0]}
    found = interpolate_terms(grid, conditions(**moons))["moon_e"]
    expected = terms_at(instrument, **moons)["moon_e"]
    assert not found[3].any() and not expected[3].any()
    np.testing.assert_allclose(found[:3], expected[:3], rtol=6e-3)


def downwards(path: Path) -> None:
    """Let a table run from its longest wavelength to its shortest."""
    lines = path.read_text().splitlines()
    head = _head(path)
    path.write_text("\n".join([*lines[:head], *reversed(lines[head:])]) + "\n")


def test_tables_of_the_sky_may_run_downwards(tmp_path: Path, instrument: Instrument) -> None:
    write_sky_tables(tmp_path, airmass=1.0)
    shutil.copy(EMBEDDED / "extinction_maunakea.csv", tmp_path / "extinction_mine.csv")
    shutil.copy(EMBEDDED / "galactic_extinction.csv", tmp_path / "galactic_extinction_mine.csv")
    before = terms_at(instrument, Sky(tables=str(tmp_path)), ebv=0.3)
    for table in tmp_path.glob("*.csv"):
        downwards(table)
    after = terms_at(instrument, Sky(tables=str(tmp_path)), ebv=0.3)
    for name in before.data_vars:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12, atol=1e-15)


def test_a_throughput_may_run_downwards(tmp_path: Path, instrument: Instrument) -> None:
    for suffix in (".toml", ".csv"):
        shutil.copy(str(FOLDER / f"{NAME}{suffix}"), tmp_path)
    downwards(tmp_path / f"{NAME}.csv")
    turned = load_instrument(str(tmp_path / f"{NAME}.toml"))
    assert turned.checksum == instrument.checksum
    assert turned.throughput_wavelength_nm[0] < turned.throughput_wavelength_nm[-1]


@pytest.mark.parametrize("turn", [downwards, lambda path: None])
def test_a_source_s_spectrum_may_run_downwards(
    turn: Callable[[Path], None], tmp_path: Path, instrument: Instrument
) -> None:
    path = tmp_path / "star.csv"
    path.write_text("wavelength_nm,flux\n650,7\n700,1\n900,3\n950,0\n")
    turn(path)
    flux = read_spectrum(path, instrument)
    np.testing.assert_allclose(flux, 1 + (instrument.wavelength - 700) / 100)
