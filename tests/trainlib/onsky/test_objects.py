"""Spectra as objects of other libraries are denoised as their arrays are."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

import trainlib
from simlib.air_wavelengths import vacuum_to_air
from simlib.errors import InputError
from simlib.spectra.observed import Stated
from tests.trainlib.onsky.toy_bundle import SCALE, WAVELENGTH, toy_stars

PER_ANGSTROM = units.Unit("1e-17 erg / (s cm2 AA)")
VACUUM = Stated(medium="vacuum")
MASK = np.isin(np.arange(400), (30, 31))


@dataclass
class Spectrum:
    """What specutils' class of this name has of what is read."""

    spectral_axis: Any
    flux: Any
    uncertainty: Any = None
    mask: Any = None


@pytest.fixture(scope="module")
def bundle(bundle_place):
    return trainlib.load_bundle(bundle_place)


@pytest.fixture(scope="module")
def stars():
    return toy_stars(3, 0.02)[0]


@pytest.fixture(scope="module")
def expected(bundle, stars):
    return bundle.denoise(WAVELENGTH, stars[0].flux, stars[0].sigma ** 2, MASK)


def spectrum(star, kind=StdDevUncertainty) -> Spectrum:
    values = star.sigma ** {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    return Spectrum(
        10.0 * WAVELENGTH * units.AA, star.flux * PER_ANGSTROM, kind(values), MASK
    )  # fmt: skip


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_a_spectrum_is_denoised_as_its_arrays_are(bundle, stars, expected, kind):
    found = bundle.denoise(spectrum(stars[0], kind), stated=VACUUM)
    assert np.abs(found.flux - expected.flux).max() < 1e-5 * SCALE
    assert np.abs(found.error - expected.error).max() < 1e-5 * SCALE
    assert np.array_equal(found.flag, expected.flag) and found.verdict == expected.verdict
    assert found.redshift == pytest.approx(expected.redshift, abs=1e-8)


def test_its_unit_and_medium_are_those_it_says_or_are_stated(bundle, stars, expected):
    star = stars[0]
    nano = replace(
        spectrum(star),
        flux=star.flux * star.nano * units.nJy,
        uncertainty=StdDevUncertainty(star.sigma * star.nano),
        spectral_axis=vacuum_to_air(WAVELENGTH) * units.nm,
    )
    found = bundle.denoise(nano, stated=Stated(medium="air"))
    assert np.abs(found.flux / star.nano - expected.flux).max() < 1e-5 * SCALE
    with pytest.raises(InputError, match="does not say the medium of its wavelengths"):
        bundle.denoise(nano)


def test_a_dataset_is_denoised_row_by_row(bundle, stars, expected):
    flux, sigma = (np.stack([getattr(one, name) for one in stars]) for name in ("flux", "sigma"))
    held = xr.Dataset(
        {
            "flux": (("wavelength", "star"), flux.T, {"units": "1e-17 erg/(s cm2 Angstrom)"}),
            "variance": (("star", "wavelength"), sigma**2),
            "mask": ("wavelength", MASK),
            "name": ("star", ["a", "b", "c"]),
        },
        {"wavelength": ("wavelength", WAVELENGTH, {"units": "nm", "medium": "vacuum"})},
    )
    found = bundle.denoise(held)
    assert len(found) == 3
    assert np.abs(found[0].flux - expected.flux).max() < 1e-5 * SCALE
    one = bundle.denoise(held.isel(star=0))
    assert np.abs(one.flux - expected.flux).max() < 1e-5 * SCALE
    arrays = bundle.denoise(held["wavelength"], held["flux"].T, held["variance"], held["mask"])
    assert np.allclose(arrays[1].flux, found[1].flux, rtol=1e-6)


def test_what_is_not_known_of_an_object_is_told(bundle, stars):
    with pytest.raises(InputError, match="uncertainty is missing; one of the types std, var"):
        bundle.denoise(replace(spectrum(stars[0]), uncertainty=None), stated=VACUUM)
    odd = StdDevUncertainty(stars[0].sigma, unit=units.Jy)
    with pytest.raises(InputError, match="uncertainty is in Jy, its flux in .*was expected"):
        bundle.denoise(replace(spectrum(stars[0]), uncertainty=odd), stated=VACUUM)
    with pytest.raises(InputError, match="a list holds no spectrum; give wavelength, flux"):
        bundle.denoise([1.0, 2.0])
    with pytest.raises(InputError, match="variance"):
        bundle.denoise(WAVELENGTH, stars[0].flux)
    with pytest.raises(InputError, match="given without flux; give wavelength, flux and variance"):
        bundle.denoise(WAVELENGTH, variance=stars[0].sigma ** 2)
    arrays = (WAVELENGTH, stars[0].flux, stars[0].sigma ** 2)
    with pytest.raises(InputError, match="stated of an object alone; arrays are in nm"):
        bundle.denoise(*arrays, stated=VACUUM)
