"""A source's spectrum on pixels: narrow lines keep their light wherever in a pixel they lie."""

import numpy as np
import pytest

from simlib.etc.optics.lsf import LSF_KINDS, mtf, profile
from simlib.etc.signal_to_noise import pixel_flux
from simlib.instrument import Instrument, load_instrument

PHASES = np.array([0.0, 0.12, 0.25, 0.5, 0.77])
WIDTH = 2.0  # nm, equivalent, of an emission line


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return load_instrument("pfs-redmr-2024-07-14")


def line_at(centre: float, half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a triangle of unit continuum and equivalent width WIDTH."""
    places = np.array([700.0, centre - half_width, centre, centre + half_width, 900.0])
    return places, np.array([1.0, 1.0, 1.0 + WIDTH / half_width, 1.0, 1.0])


@pytest.mark.parametrize("kind", LSF_KINDS)
@pytest.mark.parametrize("pixels", [0.001, 0.7])
def test_a_line_keeps_its_equivalent_width_at_every_phase_of_a_pixel(
    kind: str, pixels: float, instrument: Instrument
) -> None:
    for phase in PHASES:
        centre = instrument.wavelength[2000] + phase * instrument.pixel_nm
        seen = pixel_flux(*line_at(centre, pixels * instrument.pixel_nm), instrument, kind)
        assert np.sum(seen - 1.0) * instrument.pixel_nm == pytest.approx(WIDTH, rel=1e-3)
        light = (seen - 1.0)[1950:2052]
        middle = np.sum(light * instrument.wavelength[1950:2052]) / light.sum()
        assert middle == pytest.approx(centre, abs=0.06 * instrument.pixel_nm)


def test_the_peak_is_that_of_the_line_spread_function(instrument: Instrument) -> None:
    transfer = mtf(instrument, instrument.wavelength[2000:2001])
    for phase in (0.0, 0.25, 0.5):
        centre = instrument.wavelength[2000] + phase * instrument.pixel_nm
        seen = pixel_flux(*line_at(centre, 0.001 * instrument.pixel_nm), instrument)
        share = profile(transfer, np.array([phase]))[0, 0]
        peak = WIDTH * share / instrument.pixel_nm
        assert seen[2000] - 1.0 == pytest.approx(peak, rel=0.02)


def test_what_is_flat_or_a_ramp_stays_so_out_to_the_ends(instrument: Instrument) -> None:
    places = np.array([700.0, 900.0])
    flat = pixel_flux(places, np.array([3.0, 3.0]), instrument)
    np.testing.assert_allclose(flat, 3.0, rtol=1e-9)
    ramp = pixel_flux(places, np.array([1.0, 3.0]), instrument)
    np.testing.assert_allclose(ramp, 1.0 + (instrument.wavelength - 700.0) / 100.0, rtol=1e-9)
