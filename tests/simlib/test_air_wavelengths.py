"""Air and vacuum: fixed points from published line tables, and the round trip."""

import numpy as np
import pytest

from simlib.air_wavelengths import air_to_vacuum, air_to_vacuum_edlen, vacuum_to_air


@pytest.mark.parametrize(
    ("air", "vacuum"), [(854.2091, 854.4438), (849.8023, 850.0358), (866.2141, 866.4520)]
)
def test_calcium_triplet_lines_move_by_the_published_shift(air: float, vacuum: float) -> None:
    assert air_to_vacuum(np.array(air)) == pytest.approx(vacuum, abs=5e-5)  # tables print 1e-3 A


def test_the_fit_of_published_sky_lines_is_a_thousandth_of_a_pixel_away() -> None:
    air = np.linspace(400.0, 1000.0, 601)
    off = air_to_vacuum_edlen(air) - air_to_vacuum(air)
    assert np.abs(off).max() < 2.2e-5 and off.max() < 0.0
    assert air_to_vacuum_edlen(air) - air == pytest.approx(2.75e-4 * air, rel=0.04)


def test_there_and_back_is_the_same_wavelength() -> None:
    wavelength = np.linspace(300.0, 2000.0, 1001)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(wavelength)), wavelength, atol=1e-7)
