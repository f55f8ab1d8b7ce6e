"""Masked pixels of training spectra, drawn anew in every epoch, by the survey's names for them.

NO_DATA are gaps, CR cosmic rays, BAD_SKY the lines of the sky. Each plane leaves half of the
spectra alone; in the others it masks up to its share, evenly drawn. A row owns fixed words of a
stream of its own:

    word 0, 1, 2    how much of NO_DATA, CR, BAD_SKY: none below 2^31, else 1 … most by the rest
    from word 8 on  (first pixel, length) of every gap that may be, then of every cosmic ray

Only whole numbers are computed from them: w of 2^32 picks floor(w n / 2^32) of n.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simlib.rng import Purpose, Split
from trainlib.config import Augment
from trainlib.training.kernels import masked_rows
from trainlib.training.normals import row_words, words

GAP_PIXELS = (5, 60)  # of one gap, at least and at most
CR_PIXELS = (1, 3)  # of one cosmic ray
_FIRST = 8  # word, of the places


@dataclass(frozen=True)
class Masks:
    """How much is masked of spectra of so many pixels, at most: gaps, cosmic rays, sky pixels."""

    pixels: int
    gaps: int
    rays: int
    sky: int

    @staticmethod
    def of(config: Augment, pixels: int) -> "Masks":
        """Return what the config asks for."""
        mean = 0.5 * sum(GAP_PIXELS)
        return Masks(
            pixels,
            gaps=int(np.ceil(config.no_data * pixels / mean)),
            rays=config.cr,
            sky=int(np.ceil(config.bad_sky * pixels)),
        )

    def hidden(
        self, seed: int, split: Split, epoch: int, start: int, sigma: Tensor
    ) -> Tensor | None:
        """Return what is masked of rows start … of an epoch, bool (rows, pixels), or None: nothing.

        sigma: of their noise, which is largest in the lines of the sky.
        """
        if not (self.gaps or self.rays or self.sky):
            return None
        count = row_words(_FIRST + 2 * (self.gaps + self.rays))
        drawn = words(seed, split, Purpose.masks, epoch, start, len(sigma), count).view(np.uint32)
        runs = np.zeros((len(sigma), self.pixels), np.bool_)
        masked_rows(drawn, _FIRST, self.gaps, self.rays, GAP_PIXELS, CR_PIXELS, runs)
        found = torch.from_numpy(runs).to(sigma.device)
        if self.sky:
            some = torch.from_numpy(how_many(drawn[:, 2], self.sky)).to(sigma.device)[:, None]
            brightest = sigma.topk(self.sky, dim=1).values
            least = brightest.gather(1, (some - 1).clamp(min=0))
            found |= (sigma >= least) & (some > 0)
        return found


def how_many(drawn: np.ndarray, most: int) -> np.ndarray:
    """Return int64 0 … most of random uint32: none for half of them, else evenly from 1 on."""
    wide = drawn.astype(np.uint64)
    some = np.uint64(1) + (((wide & np.uint64(2**31 - 1)) * np.uint64(most)) >> np.uint64(31))
    return np.where(wide >> np.uint64(31), some, np.uint64(0)).astype(np.int64)
