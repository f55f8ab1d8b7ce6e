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

from simlib.rng import Purpose, Split, stream_key
from trainlib.config import Augment
from trainlib.training import on_device
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
        found: Tensor
        if on_device.is_on_one(sigma):
            key = tuple(stream_key(seed, split, Purpose.masks))
            make = on_device.compiled(self._runs, sigma.device.type)
            bits, found = make(key, on_device.at(sigma.device, start, epoch), len(sigma), count)
        else:
            drawn = words(seed, split, Purpose.masks, epoch, start, len(sigma), count)
            runs = np.zeros((len(sigma), self.pixels), np.bool_)
            masked_rows(
                drawn.view(np.uint32), _FIRST, self.gaps, self.rays, GAP_PIXELS, CR_PIXELS, runs
            )
            bits, found = torch.from_numpy(drawn), torch.from_numpy(runs)
        if self.sky:
            some = on_device.how_many(bits[:, 2], self.sky)[:, None]
            brightest = sigma.topk(self.sky, dim=1).values
            least = brightest.gather(1, (some - 1).clamp(min=0))
            found |= (sigma >= least) & (some > 0)
        return found

    def _runs(
        self, key: tuple[int, int], place: tuple[Tensor, Tensor], rows: int, count: int
    ) -> tuple[Tensor, Tensor]:
        """Return the words of rows, and the pixels of gaps and cosmic rays, on a device."""
        bits = on_device.words(key, place, rows, count)
        many = [
            on_device.how_many(bits[:, 0], self.gaps),
            on_device.how_many(bits[:, 1], self.rays),
        ]
        gaps = on_device.hidden_runs(bits, _FIRST, self.gaps, GAP_PIXELS, many[0], self.pixels)
        first = _FIRST + 2 * self.gaps
        rays = on_device.hidden_runs(bits, first, self.rays, CR_PIXELS, many[1], self.pixels)
        return bits, gaps | rays
