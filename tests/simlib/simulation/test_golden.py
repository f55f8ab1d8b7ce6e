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
        [0.54650515, 0.50529629, 0.50099403, 0.48863059],
        [0.52763164, 0.522089, 0.46218416, 0.50210005],
        [0.4787707, 0.49677631, 0.5042733, 0.49798039],
    ],
    "variance": [
        [0.0005163746, 0.0014649972, 0.00030130343, 0.00031282566],
        [0.012246842, 0.048916701, 0.0069339196, 0.0073094685],
        [0.0011089729, 0.0038262417, 0.00063768192, 0.00064820907],
    ],
    "snr": [24.638256, 5.0472888, 16.584297],
    "flux_scale": [2.9303082, 0.48167799, 1.3672683],
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
