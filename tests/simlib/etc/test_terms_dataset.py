"""What a person gets: files, S/N, figures."""

import numpy as np
import pytest
import xarray as xr

from simlib.config import Sky
from simlib.etc import figures, terms_file
from simlib.etc.conditions_file import read_conditions
from simlib.etc.signal_to_noise import read_spectrum, signal_to_noise
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.etc.terms_dataset import ATTRS
from simlib.figure_file import save_figure
from simlib.instrument import load_instrument
from simlib.noise import stack_variance
from simlib.units import ab_flux
from tests.simlib.etc.made import conditions, write_conditions

CONTRACT = {
    "atmosphere_transmission", "instrument_throughput", "aperture_fraction", "effective_area_m2",
    "trace_fraction", "trace_fraction_sky", "conversion_e", "sky_continuum_e", "sky_lines_e",
    "moon_e", "stray_e", "dark_e", "read_variance_e2", "sky_subtraction_variance_e2",
    "sample_factor", "lsf_sigma", "lsf_profile",
}  # fmt: skip


@pytest.fixture(scope="module")
def instrument():
    return load_instrument("pfs-redmr-2016-02-29")


def evaluate(some: xr.Dataset) -> xr.Dataset:
    return run_etc(some, load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky()))


@pytest.fixture(scope="module")
def terms() -> xr.Dataset:
    return evaluate(conditions(seeing=[0.6, 1.2], exposure_count=20.0))


def test_every_term_of_the_contract_is_there_with_units(terms):
    assert set(terms.data_vars) >= CONTRACT
    for name in terms.variables:
        assert terms[name].attrs["units"] == ATTRS[name][0], name
        assert terms[name].attrs["long_name"], name
    assert terms.wavelength.attrs["medium"] == "vacuum"
    assert "1e-17 erg s-1 cm-2 AA-1" in terms.conversion_e.attrs["units"]
    assert terms.attrs["instrument"] == "pfs-redmr-2016-02-29"
    assert terms.attrs["convention"] == "centred"
    assert terms.attrs["quadrature"] == "converged"
    assert len(terms.attrs["sky_checksum"]) == 16


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_terms_of_a_long_list_come_back_whole_and_in_order(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(terms_file, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(terms_file, "ROWS_IN_CHUNK", 2)
    table = conditions(seeing=np.linspace(0.5, 1.5, 11))
    out = terms_file.check_output(tmp_path / f"new/terms{suffix}")
    list(terms_file.write_terms(out, table, evaluate))
    opened = xr.open_zarr(out) if suffix == ".zarr" else xr.open_dataset(out)
    with opened:
        xr.testing.assert_equal(opened.load(), evaluate(table))
        assert opened.attrs["convention"] == "centred"
        assert opened.moon_e.attrs["units"] == "electron"
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_a_failure_half_way_leaves_the_former_file_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(terms_file, "ROWS_AT_ONCE", 2)
    out = tmp_path / "terms.zarr"
    list(terms_file.write_terms(out, conditions(seeing=[0.7]), evaluate))

    def fails_later(some: xr.Dataset) -> xr.Dataset:
        if float(some.seeing[0]) > 1.0:
            raise OSError("gone")
        return evaluate(some)

    with pytest.raises(OSError, match="gone"):
        list(terms_file.write_terms(out, conditions(seeing=[0.8, 0.9, 1.1]), fails_later))
    assert xr.open_zarr(out).sizes["condition"] == 1


def test_conditions_file_is_read_with_its_optional_columns(tmp_path):
    header = (
        "name,ebv,seeing_arcsec,zenith_angle_deg,field_angle_deg,moon_zenith_angle_deg,"
        "moon_target_angle_deg,moon_phase,exposure_time_s,exposure_count"
    )
    path = write_conditions(
        tmp_path / "c.csv", "one, 0.1,0.8,30,0.3,45,60,0.2,450,8", header=header
    )
    table = read_conditions(path)
    assert table.sizes == {"condition": 1}
    assert float(table.ebv[0]) == 0.1
    assert float(table.exposure_time_s[0]) == 450.0
    terms = evaluate(table)
    assert float(terms.exposure_count[0]) == 8.0


def test_flat_ab_source_has_the_flux_one_can_write_down():
    """3631 Jy at magnitude 0; c / lambda^2 turns Hz into length."""
    wavelength = np.array([500.0, 800.0])
    jansky = 1e-23
    per_angstrom = 3631 * jansky * 2.99792458e18 / (10 * wavelength) ** 2
    np.testing.assert_allclose(ab_flux(0.0, wavelength), per_angstrom / 1e-17, rtol=1e-12)
    np.testing.assert_allclose(ab_flux(5.0, wavelength) * 100, ab_flux(0.0, wavelength))


def test_signal_to_noise_follows_the_written_variance(terms):
    flux = ab_flux(21.0, terms.wavelength.values)
    one = terms.isel(condition=0)
    n, source = 20, one.conversion_e * flux
    sky = one.sky_continuum_e + one.sky_lines_e + one.moon_e
    three = np.maximum.reduce([np.roll(sky, k) for k in (-1, 0, 1)])[1:-1]
    photons = source + sky + one.stray_e + one.dark_e
    noise = n * photons[1:-1] + n * 80.0 + (n * 0.01 * three) ** 2
    found = signal_to_noise(terms, flux)[0, 1:-1]
    np.testing.assert_allclose(found, n * source[1:-1] / np.sqrt(noise), rtol=1e-10)


def test_signal_to_noise_of_a_bright_source_is_the_root_of_its_electrons(terms):
    flux = ab_flux(8.0, terms.wavelength.values)
    expected = np.sqrt(20 * terms.conversion_e * flux)
    quiet = terms.assign(sky_subtraction_variance_e2=0.0 * terms.sky_subtraction_variance_e2)
    np.testing.assert_allclose(signal_to_noise(quiet, flux), expected, rtol=0.01)


def test_variance_grows_linearly_with_time_when_read_noise_is_out(instrument):
    def photon_variance(seconds: float) -> np.ndarray:
        terms = run_etc(
            conditions(), instrument, load_sky(Sky()), exposure_time_s=seconds, sky_subtraction=0.0
        )
        return stack_variance(terms, 0.0).values - 80.0

    np.testing.assert_allclose(photon_variance(1800.0), 2.0 * photon_variance(900.0), rtol=1e-12)


def test_a_spectrum_file_gives_the_flux_between_its_rows(tmp_path, instrument):
    path = tmp_path / "star.csv"
    path.write_text("# a ramp\nwavelength_nm,flux\n700,1\n900,3\n")
    flux = read_spectrum(path, instrument)
    np.testing.assert_allclose(flux, 1 + (instrument.wavelength - 700) / 100)


def test_figures_name_their_axes_and_terms(tmp_path, terms):
    one = terms.isel(condition=0)
    budget = figures.draw_noise_budget(one, "row 1")
    (axes,) = budget.axes
    assert "variance" in axes.get_ylabel()
    assert "wavelength" in axes.get_xlabel()
    names = {text.get_text() for text in axes.get_legend().get_texts()}
    assert names >= {"sky continuum", "sky lines", "moonlight", "read-out", "dark current"}
    left, right, *_ = figures.draw_lsf(terms).axes
    assert "share of the line" in left.get_ylabel()
    assert "sigma" in right.get_ylabel()
    (axes,) = figures.draw_transmissions(one).axes
    assert axes.get_ylabel() == "transmission"
    snr = signal_to_noise(terms, ab_flux(21.0, terms.wavelength.values))[0]
    (axes,) = figures.draw_signal_to_noise(snr).axes
    assert "S/N" in axes.get_ylabel()
    path = save_figure(budget, tmp_path / "deep/budget.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
