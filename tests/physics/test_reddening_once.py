"""Dust dims the source once: it is in the flux, and not again in what the flux is counted with."""

import numpy as np
import pytest

from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.instrument import load_instrument
from simlib.noise import flux_variance
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

CONFIG = load_config("demo", ["stellar.ebv=[0.1, 0.3]"])


@pytest.mark.parametrize("path", ["reference", "compiled"])
@pytest.mark.parametrize("source", ["grid", "direct"])
def test_the_variance_is_that_of_the_dimmed_flux_through_a_clear_line_of_sight(
    path: str, source: str
) -> None:
    grid = open_grid("default")
    stars = draw_parameters(CONFIG, grid, "train", 0, 4)
    terms_grid = build_terms_grid(CONFIG)
    terms = terms_grid if source == "grid" else load_instrument(CONFIG.instrument.name)
    spectra = simulate(stars, grid, terms, CONFIG, path)  # type: ignore[arg-type]
    scale = spectra["flux_scale"].values.astype(float)[:, np.newaxis]
    clear = interpolate_terms(terms_grid, stars.assign(ebv=("spectrum", np.zeros(4))))
    flux = spectra["flux"].values.astype(float) * scale
    expected = flux_variance(flux, clear, CONFIG.noise, CONFIG.conditions.exposure_count)
    tolerance = 2e-5 if source == "grid" else CONFIG.terms.tolerance
    assert np.abs(spectra["variance"].values * scale**2 / expected - 1.0).max() < tolerance
