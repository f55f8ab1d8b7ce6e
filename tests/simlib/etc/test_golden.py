"""Numbers of one condition, kept so that a change of results is never silent.

When one of these moves on purpose, raise `PHYSICS_VERSION` in simlib/etc/grid/build.py (stored
grids and data sets are then made anew) and write the new numbers here.
"""

import numpy as np
import pytest

from simlib.config import Sky
from simlib.etc.grid.build import PHYSICS_VERSION
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.simlib.etc.made import conditions

PIXELS = [0, 1024, 2048, 3072, 4095]
GOLDEN = {
    "atmosphere_transmission": [0.901985683, 0.914666466, 0.927378811, 0.935520231, 0.945187054],
    "aperture_fraction": [0.568853445, 0.575649282, 0.582014749, 0.587993644, 0.593618094],
    "conversion_e": [68.3799427, 82.510426, 97.7978718, 102.090395, 99.2540175],
    "sky_continuum_e": [79.0221289, 94.1390615, 110.566249, 114.657408, 110.921143],
    "sky_lines_e": [0.0102511056, 0.719870935, 4.68978682, 3.86038566, 8.30232307],
    "moon_e": [16.7390172, 15.2249946, 13.6568314, 10.9643547, 8.07933782],
    "sky_subtraction_variance_e2": [0.917632652, 1.23860469, 1.70204376, 1.67656266, 1.75976761],
}


@pytest.mark.parametrize("term", GOLDEN)
def test_results_of_this_physics_version_stay(term):
    assert PHYSICS_VERSION == 2
    terms = run_etc(conditions(), load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky()))
    np.testing.assert_allclose(terms[term].values[0, PIXELS], GOLDEN[term], rtol=1e-6)
