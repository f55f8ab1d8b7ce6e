"""The generator is the simulator, and knows how its spectra change; also where nodes are absent."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.fit.generator import STARS as NAMES
from simlib.fit.generator import Generator, generator_of, principal_curves
from simlib.fit.problem import stars_of
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid
from tests.simlib.fit.toy_stars import STARS, config, generator, problem, terms

HALF_STEPS = np.array([25.0, 0.1, 0.05, 0.025, 2e-6, 0.01])
ROUNDING = 1e-7


@pytest.mark.parametrize("override", [
    "stellar.sampling=threads", "stellar.sampling=continuous",
    pytest.param("instrument.lsf=profile", marks=pytest.mark.slow),
])  # fmt: skip
def test_its_spectra_are_the_simulator_s(override):
    settings = config(override)
    made = generator_of(open_grid("toy"), terms(override), settings)
    drawn = draw_parameters(settings, open_grid("toy"), "train", 0, 6)
    flux = simulate(drawn, open_grid("toy"), terms(override), settings)["flux"].values
    found, slopes = made.look(stars_of(drawn), is_sloped=False)
    assert slopes.shape == (6, 0, flux.shape[1])
    assert np.abs(found / flux - 1.0).max() < 2e-5


def test_a_row_does_not_depend_on_those_beside_it():
    made = generator()
    both, slopes = made.look(STARS, is_sloped=True)
    alone, slope = made.look(STARS[1:], is_sloped=True)
    assert np.allclose(both[1:], alone, rtol=2e-6)
    assert np.allclose(slopes[1:], slope, rtol=1e-3, atol=1e-5 * np.abs(slope).max())
    assert np.allclose(made.look(STARS, is_sloped=False)[0], both, rtol=2e-6)


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_its_slopes_are_those_of_its_spectra(number):
    """But for their scale, which is the median's, and changes in steps."""
    made = generator()
    star = STARS[:1]
    flux, slopes = (part[0].astype(float) for part in made.look(star, is_sloped=True))
    step = np.zeros(len(NAMES))
    step[number] = HALF_STEPS[number]
    below, above = made.look(np.concatenate([star - step, star + step]), is_sloped=False)[0]
    found = (above.astype(float) - below) / (2.0 * HALF_STEPS[number])
    other = found - slopes[number]
    scale = (other @ flux) / (flux @ flux)
    rounding = ROUNDING / HALF_STEPS[number]
    assert np.abs(other - scale * flux).mean() < 0.01 * np.abs(found).mean() + rounding
    little = 1e-4 / problem().sigma[number]  # of the flux, for all that a parameter may be
    assert abs(scale) < 0.2 * np.abs(found).mean() + little


def with_nodes(present: np.ndarray) -> Generator:
    """The toy's generator with other nodes absent."""
    curves = principal_curves(generator().templates, present)
    return replace(generator(), present=present, **curves)


def test_a_hole_of_the_grid_is_bridged_and_told():
    present = generator().present.copy()
    present[1, 1, 2, 1] = False
    made = with_nodes(present)
    at = np.array([[4000.0, 1.5, -0.5, 0.0, 0.001, 0.02]])
    other = np.array([[4500.0, 3.5, -1.5, 0.25, 0.001, 0.02]])
    assert made.absent_share(at) == pytest.approx([1.0], abs=1e-6)
    assert made.absent_share(other) == pytest.approx([0.0], abs=1e-12)
    assert (generator().absent_share(at) == 0.0).all()
    whole, bridged = (one.look(at, is_sloped=False)[0] for one in (generator(), made))
    off = np.abs(bridged / whole - 1.0)
    assert 0.0 < off.mean() < 0.02
    assert np.allclose(made.look(other, False)[0], generator().look(other, False)[0], rtol=2e-5)


def test_a_grid_of_one_node_has_its_spectrum_everywhere():
    present = np.zeros_like(generator().present)
    present[2, 1, 1, 1] = True
    made = with_nodes(present)
    node = np.array([[4500.0, 1.5, -1.5, 0.0, 0.0, 0.0]])
    elsewhere = np.array([[3600.0, 4.5, 0.5, 0.4, 0.0, 0.0]])
    found = made.look(np.concatenate([node, elsewhere]), is_sloped=False)[0]
    assert np.allclose(found[0], found[1], rtol=1e-4)
    assert np.allclose(found[0], generator().look(node, False)[0][0], rtol=2e-5)
    assert made.absent_share(elsewhere)[0] > 0.9
