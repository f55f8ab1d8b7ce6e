"""Augmentation: calibration error, then noise, then scale and offset (paper, section 3.3).

    y = a F (1 + c) + b          what the network should return
    x = a (F (1 + c) + s n) + b  what it is given

with n fresh standard normals at every step. The noise s belongs to the simulated counts: it knows
nothing of c, but scales with a.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from simlib.rng import Purpose, Split
from trainlib.config import Augment, WalkAugment
from trainlib.training.calibration import calibration_error, calibration_modes
from trainlib.training.normals import noise, normals_from, row_words, uniforms_from, words

_AMPLITUDE, _SPARE = 0, 1  # words of a row; its normals begin at a whole Philox step
_FIRST_NORMAL = 8


@dataclass(frozen=True)
class Batch:
    """Spectra as the network meets them; float32, (rows, pixels)."""

    target: Tensor
    noisy: Tensor
    variance: Tensor  # of `noisy`


@dataclass(frozen=True)
class Augmenter:
    """The augmentation of one split, whoever asks for a row.

    `noise_purpose` tells training noise from the frozen noise of an evaluation.
    """

    config: Augment
    pixels: int
    seed: int
    split: Split
    noise_purpose: Purpose
    is_on: bool = True  # False: noise only

    @cached_property
    def modes(self) -> np.ndarray:
        """Calibration modes, (modes, pixels)."""
        config = self.config
        if not isinstance(config, WalkAugment):
            return np.empty((0, self.pixels), np.float32)
        return calibration_modes(
            self.pixels, config.calibration_width, config.calibration_mean_removed
        )

    def factors(self, epoch: int, start: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what multiplies and what adds to the flux: a (1 + c) and a, b as columns.

        First (rows, pixels); second (rows, 2) with a and b.
        """
        bits = self._bits(epoch, start, rows)
        normals = normals_from(bits[:, _FIRST_NORMAL : _FIRST_NORMAL + self._normals])
        scale_offset = normals[:, :2] * np.array(
            [self.config.scale_sigma, self.config.offset_sigma], np.float32
        )
        scale_offset[:, 0] += 1.0
        if not isinstance(self.config, WalkAugment):
            return np.repeat(scale_offset[:, :1], self.pixels, axis=1), scale_offset
        error = calibration_error(
            normals[:, 2 : 2 + len(self.modes)],
            uniforms_from(bits[:, _AMPLITUDE]),
            self.modes,
            self.config.calibration_max,
            self.config.calibration_law,
        )
        return (1.0 + error) * scale_offset[:, :1], scale_offset

    @property
    def _normals(self) -> int:
        return 2 * max(1, -(-(len(self.modes) + 2) // 2))

    def _bits(self, epoch: int, start: int, rows: int) -> np.ndarray:
        count = row_words(_FIRST_NORMAL + self._normals)
        return words(self.seed, self.split, Purpose.augmentation, epoch, start, rows, count)

    def spare(self, epoch: int, start: int, rows: int) -> np.ndarray:
        """Return a uniform number (rows,) that the augmentation makes no use of."""
        return uniforms_from(self._bits(epoch, start, rows)[:, _SPARE])

    def offsets(self, epoch: int, start: int, rows: int) -> np.ndarray:
        """Return what was added to the target flux, (rows, 1)."""
        if not self.is_on or self.config.target == "original":
            return np.zeros((rows, 1), np.float32)
        bits = self._bits(epoch, start, rows)
        normals = normals_from(bits[:, _FIRST_NORMAL : _FIRST_NORMAL + self._normals])
        return normals[:, 1:2] * np.float32(self.config.offset_sigma)

    def target(self, flux: Tensor, epoch: int, start: int) -> tuple[Tensor, Tensor]:
        """Return the noiseless augmented flux (rows, pixels) and the scale a (rows, 1)."""
        if not self.is_on:
            return flux, torch.ones(len(flux), 1, device=flux.device)
        factor, scale_offset = self.factors(epoch, start, len(flux))
        columns = torch.from_numpy(scale_offset).to(flux.device)
        return flux * torch.from_numpy(factor).to(flux.device) + columns[:, 1:], columns[:, :1]

    def __call__(self, flux: Tensor, sigma: Tensor, epoch: int, start: int) -> Batch:
        """Return the batch made of clean flux and noise sigma, each (rows, pixels).

        start: position of the first row in the epoch's order; the rest follow it.
        """
        target, scale = self.target(flux, epoch, start)
        normals = noise(
            self.seed, self.split, self.noise_purpose, epoch, start, len(flux), self.pixels
        )
        sigma = sigma * scale
        noisy = torch.addcmul(target, sigma, torch.from_numpy(normals).to(flux.device))
        wanted = target if self.config.target == "augmented" else flux
        return Batch(target=wanted, noisy=noisy, variance=sigma.square())
