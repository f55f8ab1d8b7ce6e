"""The traditional way beside the network: one fit of the generator, from three starts.

Cold, from a coarse grid of templates at every shift; from the network's answer; and from the truth,
which no one knows. All with the same steps and tolerances. A fit ends in a wrong minimum where its
objective (chi² and priors) is larger by more than 1 than the least that any of the three found.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.stats import binomtest
from torch import nn

from simlib.fit.cold import coarse_library, cold_start
from simlib.fit.generator import STARS
from simlib.fit.polish import polish
from simlib.fit.problem import Problem
from simlib.fit.solve import Fitted, fit_spectra
from trainlib.evaluation.metrics import Measures, measure
from trainlib.models.restframe import RestFrameNetwork
from trainlib.training.augment import Batch

WRONG = 1.0  # of the objective above the least one
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Fits:
    """measures: of the spectra by method, `fit` (from the cold start) and, with a network that

    knows redshifts, `polished`. cpu_ms: of these, of processor time a row, with all that goes
    before. fitted: by start, `cold`, `dae` and `truth`. table: by start, what it took and how often
    it went wrong.
    """

    measures: dict[str, Measures]
    cpu_ms: dict[str, float]
    fitted: dict[str, Fitted]
    table: dict[str, dict[str, Any]]


def judge_fits(
    problem: Problem, model: nn.Module, batch: Batch, truth: np.ndarray, flux_floor: float
) -> Fits:
    """Fit noisy spectra from the three starts; truth: (rows, 6) in the order of STARS.

    A network that names no redshift gives no start.
    """
    noisy, variance = batch.noisy.numpy(), batch.variance.numpy()
    library = coarse_library(problem)
    begun, scan_ms = timed(lambda: cold_start(library, noisy, variance), len(truth))
    cold, cold_ms = timed(lambda: fit_spectra(problem, noisy, variance, begun), len(truth))
    known, known_ms = timed(lambda: fit_spectra(problem, noisy, variance, truth), len(truth))
    fitted, spent = {"cold": cold}, {"cold": scan_ms + cold_ms}
    measures = {"fit": _measured(cold.spectra, batch, flux_floor)}
    accepted: dict[str, Any] = {}
    cpu_ms = {"fit": spent["cold"]}
    if isinstance(model, RestFrameNetwork):
        (denoised, stars), network_ms = timed(lambda: _named(model, batch), len(truth))
        polished, polish_ms = timed(
            lambda: polish(problem, noisy, variance, denoised, stars), len(truth)
        )
        fitted["dae"], spent["dae"] = polished.fit, polish_ms
        measures["polished"] = _measured(polished.spectra, batch, flux_floor)
        cpu_ms["polished"] = network_ms + polish_ms
        accepted = {"network_ms": network_ms, "accepted": float(polished.is_accepted.mean())}
    fitted["truth"], spent["truth"] = known, known_ms
    least = np.minimum.reduce([one.objective for one in fitted.values()])
    table = {name: _told(one, is_wrong(one, least), spent[name]) for name, one in fitted.items()}
    table["cold"]["templates"] = library.evaluations
    table.get("dae", {}).update(accepted)
    return Fits(measures, cpu_ms, fitted, table)


def is_wrong(fitted: Fitted, least: np.ndarray) -> np.ndarray:
    """Return whether fits (rows,) ended elsewhere than where the objective is least."""
    return np.asarray(~(fitted.objective <= least + WRONG))


def _told(fitted: Fitted, wrong: np.ndarray, milliseconds: float) -> dict[str, Any]:
    interval = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(0.95, "wilson")
    return {
        "evaluations": float(fitted.evaluations.mean()),
        "ms": milliseconds,
        "wrong": float(wrong.mean()),
        "wrong_95": [float(interval.low), float(interval.high)],
        "not_converged": float(1.0 - fitted.is_converged.mean()),
    }


def _named(model: RestFrameNetwork, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return denoised spectra, and the stars (rows, 6) that the network names."""
    with torch.inference_mode():
        found = model.denoise(batch.noisy, batch.variance)
    return found.flux, named_stars(found.stars, found.redshift)


def named_stars(stars: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return (rows, 6) parameters in the order of STARS; a network does not know the reddening.

    stars: (rows, 4) along the axes of a grid.
    """
    unknown = np.full((len(redshift), 1), np.nan)
    named = np.concatenate([stars, redshift[:, np.newaxis], unknown], axis=1)
    assert named.shape[1] == len(STARS)
    return named


def _measured(spectra: np.ndarray, batch: Batch, flux_floor: float) -> Measures:
    return measure(torch.from_numpy(spectra), batch.target, flux_floor)


def timed(work: Callable[[], Result], rows: int) -> tuple[Result, float]:
    """Return what work gives, and the milliseconds of processor time a row."""
    begin = time.process_time()
    made = work()
    return made, 1e3 * (time.process_time() - begin) / max(rows, 1)
