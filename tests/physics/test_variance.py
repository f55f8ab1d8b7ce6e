"""The variance of a stack against what can be written down (paper, section 2.2, item 6)."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from simlib.config import Noise, Sky
from simlib.etc.signal_to_noise import signal_to_noise
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from simlib.noise import (
    brightest_neighbour,
    flux_variance,
    median_signal_to_noise,
)
from simlib.units import ab_flux

PIXELS = 5
QUIET = Noise(sky_subtraction=0.0)


def terms(**changed: Any) -> xr.Dataset:
    """Return terms of two rows: source only, unless changed."""
    zero = np.zeros((2, PIXELS))
    over_pixels = {
        "conversion_e": zero + 4.0,
        "sky_continuum_e": zero,
        "sky_lines_e": zero,
        "moon_e": zero,
    }
    over_rows = {"stray_e": np.zeros(2)}
    fixed = {"dark_e": 0.0, "read_variance_e2": 0.0, "sample_factor": 1.0, "variance_margin": 1.0}
    values: dict[str, Any] = over_pixels | over_rows | fixed | changed
    dims = {2: ("spectrum", "wavelength"), 1: ("spectrum",), 0: ()}
    return xr.Dataset({name: (dims[np.ndim(value)], value) for name, value in values.items()})


FLUX = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 10.0, 10.0, 10.0, 10.0]])


def test_pure_photon_noise_is_counts_over_the_conversion_squared() -> None:
    variance = flux_variance(FLUX, terms(), QUIET, 20)
    assert np.allclose(variance, 20 * 4.0 * FLUX / (20 * 4.0) ** 2)


def test_every_term_adds_its_electrons_once_an_exposure() -> None:
    base = flux_variance(FLUX, terms(), QUIET, 20)
    for name, value in (
        ("sky_continuum_e", np.full((2, PIXELS), 7.0)),
        ("sky_lines_e", np.full((2, PIXELS), 7.0)),
        ("moon_e", np.full((2, PIXELS), 7.0)),
        ("stray_e", np.full(2, 7.0)),
        ("dark_e", 7.0),
        ("read_variance_e2", 7.0),
    ):
        more = flux_variance(FLUX, terms(**{name: value}), QUIET, 20)
        assert np.allclose(more - base, 20 * 7.0 / (20 * 4.0) ** 2), name


def test_the_sample_factor_acts_on_photons_and_dark_not_on_read_noise() -> None:
    wide = flux_variance(FLUX, terms(sample_factor=1.2, read_variance_e2=80.0), QUIET, 3)
    assert np.allclose(wide, 3 * (1.2 * 4.0 * FLUX + 80.0) / (3 * 4.0) ** 2)


def test_variance_falls_with_the_number_of_exposures_without_systematics() -> None:
    sky = terms(sky_continuum_e=np.full((2, PIXELS), 50.0), read_variance_e2=80.0)
    one, twenty = (flux_variance(FLUX, sky, QUIET, n) for n in (1, 20))
    assert np.allclose(one / twenty, 20.0)


@pytest.mark.parametrize(("coherent", "expected"), [(True, 1.0), (False, 1 / 20)])
def test_sky_subtraction_error_averages_out_only_when_told_to(
    coherent: bool, expected: float
) -> None:
    sky = terms(sky_lines_e=np.full((2, PIXELS), 1000.0))
    noise = Noise(sky_subtraction=0.01, sky_subtraction_coherent=coherent)
    extra = [
        flux_variance(FLUX, sky, noise, n) - flux_variance(FLUX, sky, QUIET, n) for n in (1, 20)
    ]
    assert np.allclose(extra[0], (0.01 * 1000.0 / 4.0) ** 2)
    assert np.allclose(extra[1] / extra[0], expected)


def test_the_systematic_takes_the_brightest_sky_of_three_pixels() -> None:
    sky = np.array([[1.0, 5.0, 2.0, 2.0, 9.0]])
    assert brightest_neighbour(sky).tolist() == [[5.0, 5.0, 5.0, 9.0, 9.0]]


@pytest.mark.parametrize("sky", [[3.0], [3.0, 1.0]])
def test_the_brightest_of_fewer_pixels_than_three_is_among_those_there_are(
    sky: list[float],
) -> None:
    assert brightest_neighbour(np.array([sky])).tolist() == [[3.0] * len(sky)]


@pytest.mark.parametrize("convention", ["centred", "modified", "upstream"])
def test_the_calculator_and_the_simulator_have_one_noise(convention: str) -> None:
    """The calculator sums electrons of a stack, the simulator takes the mean of its flux."""
    row = {"seeing": 0.8, "zenith_angle": 30.0, "field_angle": 0.3, "moon_zenith_angle": 45.0,
           "moon_target_angle": 90.0, "moon_phase": 0.2, "exposure_count": 12.0}  # fmt: skip
    conditions = xr.Dataset({name: ("condition", [value]) for name, value in row.items()})
    instrument = load_instrument("pfs-redmr-2016-02-29")
    for share in (0.0, 0.01, 0.05):
        told = run_etc(conditions, instrument, load_sky(Sky()), convention=convention,
                       sky_subtraction=share)  # fmt: skip
        flux = ab_flux(21.0, told["wavelength"].values)
        noise = Noise(sky_subtraction=share)
        variance = flux_variance(flux[np.newaxis], told, noise, 12)
        found = signal_to_noise(told, flux).values
        np.testing.assert_allclose(found, flux / np.sqrt(variance), rtol=1e-12)


def test_stray_light_and_dark_are_no_sky_for_the_systematic() -> None:
    bright = terms(stray_e=np.full(2, 1e4), dark_e=1e4)
    with_error = flux_variance(FLUX, bright, Noise(sky_subtraction=0.5), 4)
    assert np.array_equal(with_error, flux_variance(FLUX, bright, QUIET, 4))


def test_signal_to_noise_is_a_median_over_pixels() -> None:
    flux = np.array([[1.0, 2.0, 30.0]])
    assert median_signal_to_noise(flux, np.full((1, 3), 0.25)).tolist() == [4.0]
