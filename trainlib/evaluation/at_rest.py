"""The best without a network: a linear Gaussian prior of stars in the frame in which they rest.

The redshift with the most evidence, then the most probable combination of components there: what a
network in the rest frame begins from, solved to the end.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainlib.rest.frame import RestFrame
from trainlib.rest.scan import Scan
from trainlib.rest.statistics import RestStatistics
from trainlib.training.augment import Augmenter
from trainlib.training.data import Spectra
from trainlib.training.examples import statistics_of_rest
from trainlib.training.truth import Truth

_STEPS = 12  # of conjugate gradients: more change nothing
_SCANNED = 16  # components that the scan knows


@dataclass(frozen=True)
class AtRest:
    """What training spectra tell of stars at rest, and what finds a redshift among them."""

    frame: RestFrame
    scan: Scan

    def __call__(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return the most probable spectra (rows, pixels) at the redshifts found."""
        # An average over shifts by their evidence was tried: it gains next to nothing below S/N 7
        # and loses as much above 14.
        flux, squared = flux_noisy.numpy(), variance.numpy()
        redshift = self.scan(flux, squared).redshift
        solution, _ = self.frame.solved(flux, squared, redshift)
        return torch.from_numpy(self.frame.spectra(solution, redshift))


def learn_at_rest(truth: Truth, clean: Spectra, training: Augmenter, rank: int) -> RestStatistics:
    """Return what clean training spectra, with the labels that the truth asks for, tell."""
    return statistics_of_rest(truth, clean, training, rank, seed=0)


def at_rest_of(statistics: RestStatistics) -> AtRest:
    """Return the method that knows these figures of training spectra."""
    rank = len(statistics.vectors)
    return AtRest(RestFrame(statistics, _STEPS), Scan(statistics, min(_SCANNED, rank)))
