"""Values that change only when the physics does: then PHYSICS_VERSION must be raised with them."""

from typing import Any

import numpy as np
import pytest

from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.physics import PHYSICS_VERSION
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

PIXELS = (0, 1000, 2500, 4095)
GOLDEN_VERSION = 3
GOLDEN: dict[str, list[Any]] = {
    "flux": [
        [0.54650521, 0.50529641, 0.50099397, 0.48863071],
        [0.52763164, 0.52208894, 0.46218422, 0.50210005],
        [0.47877076, 0.49677637, 0.50427347, 0.49798036],
    ],
    "variance": [
        [0.00051637401, 0.001464996, 0.00030130308, 0.00031282532],
        [0.012246878, 0.048916847, 0.0069339392, 0.007309489],
        [0.0011089741, 0.0038262452, 0.0006376825, 0.00064820971],
    ],
    "snr": [24.638273, 5.0472814, 16.584291],
    "flux_scale": [2.9303097, 0.48167731, 1.3672677],
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
