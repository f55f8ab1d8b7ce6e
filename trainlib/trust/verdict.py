"""Whether an answer is to be trusted: what speaks against it, in a few words, and how much."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

GOOD = "good"
_EDGE_PIXELS = 1.5


@dataclass(frozen=True)
class Measures:
    """What an answer is judged by.

    snr: median of the denoised flux over sigma, of a pixel. covered: share of the network's pixels
    that were seen. suspects: share of the seen pixels that are far off. log_odds: of the best
    redshift against the next. at_edge: whether it is at the end of the known range. sharpness:
    resolution over that of the training spectra, 1 where it is not known; finer lines were brought
    to theirs. odd: see `model.Trust`.
    """

    snr: float
    covered: float
    suspects: float
    log_odds: float
    at_edge: bool
    sharpness: float
    odd: Mapping[str, float]


Kind = Literal[
    "poor fit", "poor fit in runs", "unseen features", "far from training", "suspect pixels",
    "little seen", "faint", "redshift unsure", "redshift at the edge", "coarser than trained",
]  # fmt: skip
# How much each speaks against an answer, from 1 on so that it counts; in the order of telling.
SPEAKS_AGAINST: dict[Kind, Callable[[Measures], float]] = {
    "poor fit": lambda m: m.odd["misfit"],
    "poor fit in runs": lambda m: m.odd["runs"],
    "unseen features": lambda m: m.odd["features"],
    "far from training": lambda m: m.odd["distance"],
    "suspect pixels": lambda m: m.suspects / 0.004,
    "coarser than trained": lambda m: _over(0.75, m.sharpness),
    "redshift at the edge": lambda m: inf if m.at_edge else 0.0,
    "redshift unsure": lambda m: _over(3.0, m.log_odds),
    "faint": lambda m: _over(1.5, m.snr),
    "little seen": lambda m: _over(0.5, m.covered),
}


def verdict(measures: Measures) -> str:
    """Return `good`, or what speaks against the answer, joined by commas."""
    return ", ".join(kind for kind, much in _all(measures) if much >= 1.0) or GOOD


def suspicion(measures: Measures) -> float:
    """Return how much that speaks most speaks against an answer: below 1 where it is `good`."""
    return max(much for _, much in _all(measures))


def is_at_edge(redshift: ArrayLike, known: tuple[float, float], wavelength: np.ndarray) -> Any:
    """Return whether redshifts are at the end of those that a network knows, or beyond."""
    pixel = (wavelength[1] - wavelength[0]) / float(np.mean(wavelength))
    low, high = known
    is_below = np.less(redshift, high + _EDGE_PIXELS * pixel)
    return ~(np.greater(redshift, low - _EDGE_PIXELS * pixel) & is_below)


def _all(measures: Measures) -> list[tuple[Kind, float]]:
    found = [(kind, float(speaks(measures))) for kind, speaks in SPEAKS_AGAINST.items()]
    return [(kind, inf if np.isnan(much) else much) for kind, much in found]


def _over(least: float, value: float) -> float:
    return least / value if value > 0.0 else inf
