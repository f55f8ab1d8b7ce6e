"""Partial stacks: half of the training spectra have fewer exposures than their dataset says.

Their number is drawn evenly in its logarithm, from the fewest that leave a given S/N up to all. Of
a stack of n exposures the variance is

    V(n) = A / n + B

with A of the photons and the read-outs, which grow with the exposures alike, and B of the sky that
was subtracted wrongly, the same in each (`noise.sky_subtraction_coherent`). Spectra that are made
when they are needed have it so, exactly. A row that was stored has the sum alone, V(N). There

    V(n) = V(N) (s + (1 - s) N / n)

is taken for it, with s the mean share of B in a pixel's V(N), of the first rows of the dataset.
With the survey's 20 exposures, sigma of a single one is so off by 2.3 % on average and by 5.5 and
13 % at the 90th and 99th percentile of pixels, of 10 exposures by 0.9, 2.1 and 4.1 %; with s = 0 it
would be 23, 72 and 202 %. A store of spectra alone, whose rows cannot be made again, has s = 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simlib.dataset.rows import Recipe
from simlib.rng import Purpose, Split
from trainlib.training.normals import words

_WORDS = 8  # of a row, of which one is used
_ROWS = 256  # of which shares are the mean


@dataclass(frozen=True, eq=False)
class Stacks:
    """Which spectra are partial stacks.

    whole: exposures of a spectrum of the dataset. least_snr: what the fewest exposures leave, by
    the square root of their share. lasting: share of a pixel's variance that exposures do not
    lessen, (pixels,) or (1,) float32.
    """

    seed: int
    whole: int
    least_snr: float
    lasting: np.ndarray

    def exposures(self, epoch: int, start: int, snr: np.ndarray) -> np.ndarray:
        """Return the exposures (rows,) of rows start … of an epoch, whole numbers in float64.

        snr: (rows,), of all exposures.
        """
        drawn = words(self.seed, Split.train, Purpose.stacks, epoch, start, len(snr), _WORDS).view(
            np.uint32
        )[:, 0]
        share = (drawn & np.uint32(2**31 - 1)) / 2.0**31
        needed = np.square(self.least_snr / np.maximum(snr.astype(float), self.least_snr))
        least = np.maximum(np.ceil(self.whole * needed), 1.0)
        some = np.floor(least * ((self.whole + 1.0) / least) ** share)
        return np.where(drawn >> 31, np.clip(some, least, self.whole), float(self.whole))

    def growth(self, counts: np.ndarray, device: torch.device) -> Tensor:
        """Return what sigma of stored rows is multiplied by, (rows, pixels).

        counts: their exposures, (rows,).
        """
        ratio = torch.from_numpy((self.whole / counts).astype(np.float32)).to(device)[:, None]
        lasting = torch.from_numpy(self.lasting).to(device)
        return (ratio + lasting * (1.0 - ratio)).sqrt_()


def lasting_share(recipe: Recipe) -> np.ndarray:
    """Return the share of the variance that more exposures do not lessen, (pixels,) float32.

    The mean over the first training rows, from what the simulator gives for one exposure and all.
    """
    made = recipe.observed(recipe.drawn("train", 0, _ROWS))
    whole = recipe.config.conditions.exposure_count
    of_all = made["variance"].values.astype(float)
    of_one = recipe.variance(made, np.ones(_ROWS)).astype(float)
    lasting = (whole - of_one / of_all) / (whole - 1.0)
    return np.asarray(np.clip(lasting.mean(axis=0), 0.0, 1.0), dtype=np.float32)
