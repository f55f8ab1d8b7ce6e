"""Values that change only when the physics does: then PHYSICS_VERSION must be raised with them."""

from typing import Any

import numpy as np
import pytest

from simlib.config import load_config
from simlib.dataset.manifest import PHYSICS_VERSION
from simlib.etc.grid import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

PIXELS = (0, 1000, 2500, 4095)
GOLDEN_VERSION = 1
GOLDEN: dict[str, list[Any]] = {
    "flux": [
        [0.54650508, 0.50529625, 0.50099388, 0.48863062],
        [0.52763159, 0.52208901, 0.46218433, 0.50210016],
        [0.47877071, 0.49677632, 0.5042734, 0.49798039],
    ],
    "variance": [
        [0.00069479076, 0.0019970095, 0.0003818773, 0.00038639558],
        [0.013272042, 0.052772696, 0.0073995766, 0.0077407083],
        [0.0012968517, 0.0044633768, 0.0007215211, 0.00072301198],
    ],
    "snr": [21.624549, 4.8707486, 15.469842],
    "flux_scale": [2.9303086, 0.48167795, 1.3672681],
}


def rows() -> dict[str, np.ndarray]:
    config, grid = load_config("demo"), open_grid("default")
    parameters = draw_parameters(config, grid, "validation", 3, 6)
    spectra = simulate(parameters, grid, build_terms_grid(config), config)
    return {
        "flux": spectra["flux"].values[:, PIXELS],
        "variance": spectra["variance"].values[:, PIXELS],
        "snr": spectra["snr"].values,
        "flux_scale": spectra["flux_scale"].values,
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_results_are_those_of_this_physics_version(name: str) -> None:
    assert PHYSICS_VERSION == GOLDEN_VERSION
    assert np.allclose(rows()[name], GOLDEN[name], rtol=2e-6, atol=0.0)
