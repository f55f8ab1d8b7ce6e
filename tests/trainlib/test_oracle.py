"""The information limit against what reaches it: fits from the truth, and a closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from simlib.dataset.plan import Block
from simlib.dataset.rows import Recipe
from simlib.etc.grid.store import ensure_terms_grid
from simlib.fit.problem import Problem, stars_of
from simlib.fit.solve import fit_spectra
from simlib.location import Location
from simlib.rng import Purpose, Split
from trainlib.config import load_config
from trainlib.evaluation.floor import fit_problem, information_floor
from trainlib.evaluation.metrics import SNR_EDGES, measure
from trainlib.training.augment import Augmenter

pytestmark = pytest.mark.slow

ROWS = 2048
_TOGETHER = 64
LEAST = 200  # spectra of a bin that is judged


@dataclass(frozen=True)
class Known:
    """Continuous stars: their limit, the oracle's error, and parameters that the noise leaves."""

    snr: np.ndarray
    floor: np.ndarray
    error: np.ndarray
    told: np.ndarray
    pixels: int

    def bins(self) -> Iterator[np.ndarray]:
        """Yield the rows of every bin that holds enough."""
        for low, high in pairwise(SNR_EDGES):
            inside = (self.snr >= low) & (self.snr < high)
            if inside.sum() >= LEAST:
                yield inside


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    root: Path = tmp_path_factory.mktemp("oracle")
    config = load_config("survey", [f"storage.root='{root}'", "stellar.sampling='continuous'"])
    recipe = Recipe(config, Location.of(str(ensure_terms_grid(config))))
    rows = recipe.rows(Block("validation", 0, ROWS)).load()
    floor, _ = information_floor(rows, recipe, config.augment, 0.02)
    problem = fit_problem(recipe, config.augment)
    flux, variance = (rows[name].values for name in ("flux", "variance"))
    augmenter = Augmenter(
        config.augment, flux.shape[1], 1, Split.validation, Purpose.evaluation_noise
    )
    batch = augmenter(torch.from_numpy(flux), torch.from_numpy(np.sqrt(variance)), 0, 0)
    stars = stars_of(rows)
    fitted = fit_spectra(problem, batch.noisy.numpy(), batch.variance.numpy(), stars)
    assert fitted.is_converged.mean() > 0.995
    error = measure(torch.from_numpy(fitted.spectra), batch.target, 0.02).mean_abs_relative_error
    return Known(rows["snr"].values, floor.whole, error, _told(problem, stars, variance),
                 flux.shape[1])  # fmt: skip


def _told(problem: Problem, stars: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the effective number of parameters that each spectrum tells of, (rows,)."""
    told = np.empty(len(stars))
    for first in range(0, len(stars), _TOGETHER):
        flux, slopes = problem.generator.look(stars[first : first + _TOGETHER], is_sloped=True)
        for row in range(len(flux)):
            star = slopes[row] * problem.sigma[:, np.newaxis]
            whole = np.concatenate([star, problem.calibration.directions(flux[row])])
            information = (whole / variance[first + row]) @ whole.T
            known = np.eye(len(whole)) + information
            told[first + row] = np.trace(np.linalg.solve(known, information))
    return told


def test_fits_from_the_truth_reach_the_limit_in_every_bin(known: Known) -> None:
    bins = list(known.bins())
    assert len(bins) == 7
    for inside in bins:
        assert known.error[inside].mean() == pytest.approx(known.floor[inside].mean(), rel=0.15)


def test_the_limit_is_what_the_closed_form_says(known: Known) -> None:
    """Of P parameters told by N pixels of one S/N: sqrt(2 / pi) sqrt(P / N) / (S/N)."""
    for inside in known.bins():
        form = np.sqrt(2.0 / np.pi * known.told[inside] / known.pixels) / known.snr[inside]
        assert form.mean() == pytest.approx(known.floor[inside].mean(), rel=0.15)
