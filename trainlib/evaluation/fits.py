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

from simlib.fit.cold import Library, cold_start
from simlib.fit.generator import STARS
from simlib.fit.polish import polish
from simlib.fit.problem import Problem
from simlib.fit.solve import Fitted, fit_spectra
from trainlib.evaluation.metrics import Measures, measure
from trainlib.evaluation.parts import SUM, Arrays, named, under
from trainlib.models.restframe import RestFrameNetwork
from trainlib.training.augment import Batch

WRONG = 1.0  # of the objective above the least one
Result = TypeVar("Result")


def judge_fits(
    problem: Problem,
    library: Library,
    model: nn.Module,
    batch: Batch,
    truth: np.ndarray,
    flux_floor: float,
) -> Arrays:
    """Fit noisy spectra from the three starts; truth: (rows, 6) in the order of STARS.

    Returns, by start (`cold_`, `dae_`, `truth_`), what each fit came to, the measures of `fit`
    (from the cold start) and `polished`, and the seconds of processor time of all that is done. A
    network that names no redshift gives no start, and `polished` is absent.
    """
    noisy, variance = batch.noisy.numpy(), batch.variance.numpy()
    begun, scan_s = timed(lambda: cold_start(library, noisy, variance))
    cold, cold_s = timed(lambda: fit_spectra(problem, noisy, variance, begun))
    known, known_s = timed(lambda: fit_spectra(problem, noisy, variance, truth))
    made = named("cold_", _came_to(cold)) | named("truth_", _came_to(known))
    made |= named("fit_", vars(_measured(cold.spectra, batch, flux_floor)))
    spent = {"grid": scan_s, "cold": scan_s + cold_s, "truth": known_s}
    if isinstance(model, RestFrameNetwork):
        (denoised, stars), spent["network"] = timed(lambda: _named(model, batch))
        polished, spent["dae"] = timed(lambda: polish(problem, noisy, variance, denoised, stars))
        made |= named("dae_", _came_to(polished.fit)) | {"is_accepted": polished.is_accepted}
        made |= named("polished_", vars(_measured(polished.spectra, batch, flux_floor)))
    made["templates"] = np.full(len(noisy), library.evaluations)
    return made | {f"{name}_seconds{SUM}": np.array(one) for name, one in spent.items()}


def _came_to(fitted: Fitted) -> dict[str, np.ndarray]:
    return {name: getattr(fitted, name) for name in ("evaluations", "objective", "is_converged")}


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits of spectra, as `judge_fits` makes them."""

    found: Arrays

    def __len__(self) -> int:
        """Spectra that were fitted."""
        return len(self.found["cold_objective"])

    @property
    def starts(self) -> list[str]:
        """Return the starts that there are."""
        return [name for name in ("cold", "dae", "truth") if f"{name}_objective" in self.found]

    @property
    def judged(self) -> dict[str, tuple[Measures, float]]:
        """Return measures by method, and the ms of processor time a row with all before it."""
        ms = self._ms("cold")
        judged = {"fit": (Measures(**under("fit_", self.found)), ms)}
        if "dae" in self.starts:
            ms = self._ms("network") + self._ms("dae")
            judged["polished"] = (Measures(**under("polished_", self.found)), ms)
        return judged

    def by_start(self, name: str) -> np.ndarray:
        """Return (starts, rows) of what the fits came to."""
        return np.stack([self.found[f"{start}_{name}"] for start in self.starts])

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """Return, by start, what it took and how often it went wrong."""
        objective = self.by_start("objective")
        wrong = is_wrong(objective, objective.min(axis=0))
        table = {name: self._told(name, one) for name, one in zip(self.starts, wrong, strict=True)}
        templates = int(self.found["templates"][0])
        table["cold"] |= {"templates": templates, "grid_ms": self._ms("grid")}
        if "dae" in table:
            accepted = float(self.found["is_accepted"].mean())
            table["dae"] |= {"network_ms": self._ms("network"), "accepted": accepted}
        return table

    def _ms(self, name: str) -> float:
        return 1e3 * float(self.found[f"{name}_seconds{SUM}"]) / len(self)

    def _told(self, name: str, wrong: np.ndarray) -> dict[str, Any]:
        interval = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(0.95, "wilson")
        return {
            "evaluations": float(self.found[f"{name}_evaluations"].mean()),
            "ms": self._ms(name),
            "wrong": float(wrong.mean()),
            "wrong_95": [float(interval.low), float(interval.high)],
            "not_converged": float(1.0 - self.found[f"{name}_is_converged"].mean()),
        }


def is_wrong(objective: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return whether fits ended elsewhere than where the objective is least; (rows,) or wider."""
    return np.asarray(~(objective <= least + WRONG))


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


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what work gives, and the seconds of processor time."""
    begin = time.process_time()
    made = work()
    return made, time.process_time() - begin
