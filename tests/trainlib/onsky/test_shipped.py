"""The package's own bundle: small, whole, as good as its card says."""

import numpy as np
import pytest

import trainlib
from simlib.config import load_config
from simlib.instrument import load_instrument
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar.grid import open_grid
from trainlib.onsky.bundle import CARD, SHIPPED
from trainlib.onsky.card import results_table

pytestmark = pytest.mark.skipif(not SHIPPED.exists(), reason="`make bundle` puts it there")
MOST_BYTES = 25e6
STARS = 12


@pytest.fixture(scope="module")
def bundle():
    return trainlib.load_bundle()


def test_it_is_small_and_its_card_holds_the_numbers_of_its_evaluation(bundle):
    assert bundle.place.path == SHIPPED
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < MOST_BYTES
    card = (SHIPPED / CARD).read_text()
    assert bundle.manifest.results and bundle.manifest.lineage["run"] in card
    assert "\n".join(results_table(bundle.manifest.results)) in card
    for part in bundle.manifest.results["bins"]:
        if part["floor"] is not None and part["count"] >= 100:
            assert part["error"] < 1.25 * part["floor"], part["snr_low"]


def test_it_finds_a_typical_star_again(bundle):
    typical = bundle._network.typical
    sigma = 0.02 * np.ones(typical.size)
    noisy = 30.0 * (typical + sigma * np.random.default_rng(0).standard_normal(typical.size))
    found = bundle.denoise(bundle.wavelength, noisy, (30.0 * sigma) ** 2)
    assert found.verdict == "good" and abs(found.redshift) < 3.0 * found.redshift_error
    assert np.mean(np.abs(found.flux / (30.0 * typical) - 1.0)) < 0.01


@pytest.mark.slow  # by the reference path: without the templates of all stars
def test_it_denoises_simulated_stars_as_well_as_its_card_says(bundle):
    config, grid = load_config("survey", ["terms.source='direct'"]), open_grid("default")
    stars = draw_parameters(config, grid, "test", 0, STARS)
    spectra = simulate(stars, grid, load_instrument(config.instrument.name), config, "reference")
    flux, sigma = spectra["flux"].values, np.sqrt(spectra["variance"].values)
    noisy = flux + sigma * np.random.default_rng(1).standard_normal(flux.shape)
    found = bundle.denoise(spectra["wavelength"].values, noisy, sigma**2)
    errors = [np.mean(np.abs(one.flux / true - 1.0)) for one, true in zip(found, flux, strict=True)]
    snr = spectra["snr"].values
    bins = bundle.manifest.results["bins"]
    told = [next(part["error"] for part in reversed(bins) if part["snr_low"] <= one) for one in snr]
    assert np.mean(np.divide(errors, told)) < 1.3
    off = np.array([one.redshift for one in found]) - spectra["redshift"].values
    pulls = np.abs(off) / np.array([one.redshift_error for one in found])
    assert np.median(pulls[snr > 10.0]) < 1.5
