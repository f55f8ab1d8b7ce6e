"""Air and vacuum: fixed points from published line tables, and the round trip."""

import numpy as np
import pytest

from simlib.air_wavelengths import air_to_vacuum, vacuum_to_air


@pytest.mark.parametrize(
    ("air", "vacuum"), [(854.2091, 854.4438), (849.8023, 850.0358), (866.2141, 866.4520)]
)
def test_calcium_triplet_lines_move_by_the_published_shift(air: float, vacuum: float) -> None:
    assert air_to_vacuum(np.array(air)) == pytest.approx(vacuum, abs=5e-5)  # tables print 1e-3 A


def test_there_and_back_is_the_same_wavelength() -> None:
    wavelength = np.linspace(300.0, 2000.0, 1001)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(wavelength)), wavelength, atol=1e-7)
