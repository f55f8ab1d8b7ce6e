"""Dust and magnitudes against published numbers and closed forms."""

import numpy as np
import pytest

from simlib import dust, photometry
from simlib.errors import InputError
from simlib.units import ab_flux


def test_curve_equals_an_independent_code_over_its_whole_range() -> None:
    extinction = pytest.importorskip("extinction")
    wavelength = np.linspace(310.0, 3000.0, 4000)
    for r_v in (2.5, 3.1, 5.0):
        theirs = extinction.ccm89(10.0 * wavelength, r_v, r_v)  # A_V = r_v at E(B-V) = 1
        assert np.allclose(dust.extinction_curve(wavelength, r_v), theirs, rtol=1e-12)


def test_reddening_is_e_b_minus_v() -> None:
    blue, visual = dust.extinction_curve(np.array([440.0, 549.5]), 3.1)
    assert visual == pytest.approx(3.1, rel=0.01)
    assert blue - visual == pytest.approx(1.0, rel=0.05)


def test_transmissions_multiply() -> None:
    wavelength = np.linspace(700.0, 900.0, 50)
    both = dust.transmission(wavelength, 0.03, 3.1) * dust.transmission(wavelength, 0.05, 3.1)
    assert np.allclose(both, dust.transmission(wavelength, 0.08, 3.1), rtol=1e-13)
    assert np.all(dust.transmission(wavelength, 0.0, 3.1) == 1.0)


def test_outside_the_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="303-3333 nm"):
        dust.extinction_curve(np.array([200.0]), 3.1)


def test_a_flat_ab_source_has_its_magnitude() -> None:
    band = photometry.load_band("hsc2017-i2")
    wavelength = np.linspace(650.0, 920.0, 30_000)
    flux = ab_flux(20.3, wavelength)
    weights, below, above = photometry.sample_weights(band, wavelength)
    assert (below, above) == (0.0, 0.0)
    counts = np.sum(weights * flux)
    magnitude = -2.5 * np.log10(counts / photometry.zero_counts(band))
    assert magnitude == pytest.approx(20.3, abs=1e-6)


def test_magnitudes_equal_an_independent_code() -> None:
    filters = pytest.importorskip("speclite.filters")
    wavelength = np.linspace(600.0, 950.0, 35_001)
    flux = (wavelength / 800.0) ** 2.5 * (1 + 0.3 * np.sin(wavelength / 3))
    curve = filters.load_filter("hsc2017-i2")
    theirs = float(curve.get_ab_magnitude(flux * 1e-17, 10.0 * wavelength))
    band = photometry.load_band("hsc2017-i2")
    weights, _, _ = photometry.sample_weights(band, wavelength)
    ours = -2.5 * np.log10(np.sum(weights * flux) / photometry.zero_counts(band))
    assert ours == pytest.approx(theirs, abs=2e-4)  # their zero point is 3631 Jy to 5 digits


def test_a_cut_template_is_padded_with_its_continuum() -> None:
    band = photometry.load_band("hsc2017-i2")
    whole, cut = np.linspace(600.0, 950.0, 60_001), np.linspace(700.0, 850.0, 60_001)
    sums = []
    for wavelength in (whole, cut):
        weights, below, above = photometry.sample_weights(band, wavelength)
        sums.append(weights.sum() + below + above)  # of a template that is 1 everywhere
    assert sums[1] == pytest.approx(sums[0], rel=1e-5)


def test_a_band_outside_the_template_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        InputError, match=r"hsc2017-z.*reaches beyond.*% of its response is missing"
    ):
        photometry.require_coverage(photometry.load_band("hsc2017-z"), 672.0, 909.0)
    photometry.require_coverage(photometry.load_band("hsc2017-i2"), 673.7, 907.0)


def test_an_unknown_band_is_refused_with_examples() -> None:
    for look in (photometry.load_band, photometry.band_digest):
        with pytest.raises(InputError, match="stellar.band = 'hsc-i9'.*hsc2017-i2"):
            look("hsc-i9")
