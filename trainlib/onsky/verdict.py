"""Whether an answer is to be trusted: what speaks against it, in a few words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

GOOD = "good"


@dataclass(frozen=True)
class Measures:
    """What an answer is judged by.

    snr: median of the denoised flux over sigma, of a pixel. covered: share of the network's pixels
    that were seen. misfit: scatter of the seen pixels about the denoised flux in units of sigma,
    of data and answer together, without regard to a few that are far off. suspects: share of the
    seen pixels that are five sigma off. log_odds: of the best redshift against the next. at_edge:
    whether it is at the end of the known range. sharpness: resolution over that of the training
    spectra, 1 where it is not known.
    """

    snr: float
    covered: float
    misfit: float
    suspects: float
    log_odds: float
    at_edge: bool
    sharpness: float


Kind = Literal[
    "poor fit", "suspect pixels", "little seen", "faint", "redshift unsure",
    "redshift at the edge", "coarser than trained", "finer than trained",
]  # fmt: skip
# In the order in which they are told.
SPEAKS_AGAINST: dict[Kind, Callable[[Measures], bool]] = {
    "poor fit": lambda m: not m.misfit < 1.2,
    "suspect pixels": lambda m: m.suspects > 0.004,
    "coarser than trained": lambda m: m.sharpness < 0.75,
    "finer than trained": lambda m: m.sharpness > 1.4,
    "redshift at the edge": lambda m: m.at_edge,
    "redshift unsure": lambda m: not m.log_odds > 3.0,
    "faint": lambda m: not m.snr > 2.0,
    "little seen": lambda m: m.covered < 0.5,
}


def verdict(measures: Measures) -> str:
    """Return `good`, or what speaks against the answer, joined by commas."""
    found = [kind for kind, speaks in SPEAKS_AGAINST.items() if speaks(measures)]
    return ", ".join(found) or GOOD
