"""Two networks on the same noisy spectra, compared spectrum by spectrum."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trainlib.evaluation.metrics import SNR_EDGES
from trainlib.evaluation.results import Results
from trainlib.evaluation.shown import Shown

_DRAWS = 2000
_AT_ONCE = 4_000_000  # numbers
_LEVEL = (2.5, 97.5)
_LEAST = 10  # spectra of which an interval is told


@dataclass(frozen=True)
class Pair:
    """A bin of S/N: mean |R| of both networks, a fraction, and the second's over the first's.

    low, high: 95 % of the ratio, by drawing spectra anew; None where there are too few.
    """

    snr_low: float
    snr_high: float | None
    count: int
    first: float | None
    second: float | None
    ratio: float | None
    low: float | None
    high: float | None


def why_not_paired(one: Shown, other: Shown) -> str | None:
    """Return why two evaluations are not of the same noisy spectra; None where they are."""
    found, others = one.results, other.results
    first, second = one.trained, other.trained
    facts = [
        ("dataset", found.evaluation.dataset, others.evaluation.dataset),
        ("split", found.evaluation.split, others.evaluation.split),
        ("evaluate.seed", first.config.evaluate.seed, second.config.evaluate.seed),
        ("evaluate.flux_floor", first.config.evaluate.flux_floor,
         second.config.evaluate.flux_floor),
        ("[augment]", first.config.augment, second.config.augment),
    ]  # fmt: skip
    differ = [name for name, mine, theirs in facts if mine != theirs]
    return None if not differ else f"they were judged with another {', '.join(differ)}"


def paired(first: Results, second: Results, seed: int = 0) -> list[Pair]:
    """Return the comparison by S/N, and of all, over the spectra that both were judged on."""
    count = min(one.on.sizes["spectrum"] for one in (first, second))
    snr = first.on["snr"].values[:count]
    errors = np.stack([
        one.on["mean_abs_relative_error"].sel({"method": "dae"}).values[:count]
        for one in (first, second)
    ])  # fmt: skip
    dice = np.random.default_rng(seed)
    edges = [*pairwise(SNR_EDGES), (SNR_EDGES[0], SNR_EDGES[-1])]
    return [_pair(low, high, errors[:, (snr >= low) & (snr < high)], dice) for low, high in edges]


def _pair(low: float, high: float, errors: np.ndarray, dice: np.random.Generator) -> Pair:
    count, edge = errors.shape[1], None if np.isinf(high) else high
    if not count:
        return Pair(low, edge, 0, *[None] * 5)
    first, second = (float(one) for one in errors.mean(axis=1))
    interval: tuple[float | None, float | None] = (None, None)
    if count >= _LEAST:
        below, above = np.percentile(_drawn_ratios(errors, dice), _LEVEL)
        interval = float(below), float(above)
    return Pair(low, edge, count, first, second, second / first, *interval)


def _drawn_ratios(errors: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """Return ratios of means, each of as many spectra drawn with replacement, the same for both."""
    count = errors.shape[1]
    step = max(1, _AT_ONCE // count)
    found = []
    for start in range(0, _DRAWS, step):
        rows = dice.integers(count, size=(min(step, _DRAWS - start), count))
        found.append(errors[1][rows].mean(axis=1) / errors[0][rows].mean(axis=1))
    return np.concatenate(found)
