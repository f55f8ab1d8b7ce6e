"""Spectra at rest are what the simulator sees of stars that stand still, but for a factor."""

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.instrument import load_instrument
from simlib.parameters import draw_parameters
from simlib.simulation.rest_frame import rest_spectra
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

ROWS = 5
WELL_SAMPLED = 1500  # pixels: to the red of them the toy is too coarse for the sharp profile


@pytest.mark.parametrize("override", ["terms.source=grid", "terms.source=direct",
                                      "instrument.lsf=profile"])  # fmt: skip
def test_a_star_that_stands_still_is_seen_as_at_rest(override):
    config = load_config("tiny", ["stellar.grid=toy", "stellar.ebv=[0, 0]", override])
    grid = open_grid("toy")
    is_direct = config.terms.source == "direct"
    terms = load_instrument(config.instrument.name) if is_direct else build_terms_grid(config)
    found = rest_spectra(grid, terms, config)
    drawn = draw_parameters(config, grid, "train", 0, ROWS)
    still = drawn.assign(redshift=("spectrum", np.zeros(ROWS)))
    everywhere = still.assign(interpolated_axis=("spectrum", np.full(ROWS, -1, np.int8)))
    made = simulate(still, grid, terms, config)
    pixels = made["wavelength"].values
    pitch = np.diff(found.wavelength)
    assert np.allclose(pitch, np.diff(pixels).mean(), rtol=1e-9)
    assert found.wavelength[0] < pixels[0] / 1.003 and found.wavelength[-1] > pixels[-1] / 0.997
    for mixture in (found.mixture(still), found.mixture(everywhere)):
        curves = mixture @ found.table
        seen = make_interp_spline(found.wavelength, curves.T, k=5)(pixels).T
        ratio = seen / made["flux"].values
        off = np.abs(ratio / np.median(ratio, axis=1, keepdims=True) - 1.0)[:, :WELL_SAMPLED]
        assert off.mean() < 2e-4 and off.max() < 5e-3
