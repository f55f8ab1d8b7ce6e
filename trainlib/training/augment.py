"""Augmentation: calibration error, then noise, then scale and offset (paper, section 3.3).

    y = a F (1 + c) + b          what the network should return
    x = a (F (1 + c) + s n) + b  what it is given

with n fresh standard normals at every step. The noise s belongs to the simulated counts: it knows
nothing of c, but scales with a. While a network trains, pixels are masked too (see `masks`): their
variance is infinite, and what stands in x is 0 and says nothing. An evaluation, or the validation
of a training, masks none, so that runs compare.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from simlib.rng import Purpose, Split, stream_key
from trainlib.config import Augment, WalkAugment
from trainlib.training import on_device
from trainlib.training.calibration import Numbers, amplitudes, calibration_modes, walks
from trainlib.training.kernels import augmented_rows
from trainlib.training.masks import Masks
from trainlib.training.normals import normals_from, row_words, uniforms_from, words

_AMPLITUDE, _SPARE = 0, 1  # words of a row; its normals begin at a whole Philox step
_FIRST_NORMAL = 8
_ROWS = 128  # whose walks are held at once


@dataclass(frozen=True)
class Batch:
    """Spectra as the network meets them; float32, (rows, pixels)."""

    target: Tensor
    noisy: Tensor
    variance: Tensor  # of `noisy`; infinite: masked


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What is drawn for rows. columns: a, b, a times the largest c. walks: normals of modes."""

    columns: np.ndarray
    walks: np.ndarray

    @staticmethod
    def nothing(rows: int) -> "_Drawn":
        """Return what leaves the flux as it is."""
        return _Drawn(np.tile(np.array([1.0, 0.0, 0.0], np.float32), (rows, 1)), np.empty(0))


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

    @property
    def is_training(self) -> bool:
        """Whether a network learns from what this makes, rather than being judged on it."""
        return self.is_on and self.noise_purpose is Purpose.training_noise

    @cached_property
    def masks(self) -> Masks:
        """What is masked, at most."""
        return Masks.of(self.config, self.pixels)

    def factors(self, epoch: int, start: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what multiplies and what adds to the flux: a (1 + c) and a, b as columns.

        First (rows, pixels); second (rows, 2) with a and b.
        """
        drawn = self._drawn(epoch, start, rows)
        scale_offset = drawn.columns[:, :2]
        if not len(self.modes):
            return np.repeat(scale_offset[:, :1], self.pixels, axis=1), scale_offset
        curves, columns = self._curves(drawn, slice(None))
        curves *= columns[:, 2:]
        curves += scale_offset[:, :1]
        return curves, scale_offset

    def _drawn(self, epoch: int, start: int, rows: int) -> _Drawn:
        bits = self._bits(epoch, start, rows)
        normals = normals_from(bits[:, _FIRST_NORMAL : _FIRST_NORMAL + self._normals])
        columns = np.stack(self._columns(uniforms_from(bits[:, _AMPLITUDE]), normals), axis=1)
        return _Drawn(columns, normals[:, 2 : 2 + len(self.modes)])

    def _columns(self, uniform: Numbers, normals: Numbers) -> list[Numbers]:
        """Return scale, offset and the largest error times the scale, each (rows,) float32."""
        config = self.config
        scale = 1.0 + config.scale_sigma * normals[:, 0]
        most = 0.0 * uniform
        if isinstance(config, WalkAugment):
            most = amplitudes(uniform, config.calibration_max, config.calibration_law)
        return [scale, config.offset_sigma * normals[:, 1], scale * most]

    def _curves(self, drawn: _Drawn, some: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return walks (rows, pixels), or no row at all, and a, b, a c / walk as (rows, 3)."""
        columns = drawn.columns[some]
        if not (self.is_on and len(self.modes)):
            return self.modes[:0], columns
        curves, most = walks(drawn.walks[some], self.modes)
        columns = columns.copy()
        columns[:, 2] /= most
        return curves, columns

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
        make = self._on_device if on_device.is_on_one(flux) else self._on_processor
        batch = make(flux, sigma, epoch, start)
        if self.is_training:
            hidden = self.masks.hidden(self.seed, self.split, epoch, start, sigma)
            if hidden is not None:
                batch.noisy.masked_fill_(hidden, 0.0)
                batch.variance.masked_fill_(hidden, torch.inf)
        return batch if self.config.target == "augmented" else replace(batch, target=flux)

    def _on_device(self, flux: Tensor, sigma: Tensor, epoch: int, start: int) -> Batch:
        """Make a batch where the spectra are, of numbers that are made there too."""
        place = on_device.at(flux.device, start, epoch)
        make = on_device.compiled(self._made, flux.device.type)
        return Batch(*make(place, flux, sigma, self._modes_on(flux.device)))

    def _made(
        self, place: tuple[Tensor, Tensor], flux: Tensor, sigma: Tensor, modes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return target, noisy flux and its variance (rows, pixels), from the place on."""
        rows, curves = len(flux), modes[:0]
        key = stream_key(self.seed, self.split, self.noise_purpose)
        bits = on_device.words(key, place, rows, row_words(self.pixels))
        noise = on_device.normals_from(bits)[:, : self.pixels]
        columns = [torch.ones_like(flux[:, 0]), *torch.zeros_like(flux[:, :2]).T]
        if self.is_on:
            key = stream_key(self.seed, self.split, Purpose.augmentation)
            bits = on_device.words(key, place, rows, row_words(_FIRST_NORMAL + self._normals))
            normals = on_device.normals_from(bits[:, _FIRST_NORMAL : _FIRST_NORMAL + self._normals])
            columns = self._columns(on_device.uniforms_from(bits[:, _AMPLITUDE]), normals)
            if len(modes):
                curves = normals[:, 2 : 2 + len(modes)] @ modes
        return on_device.noisy_rows(noise, flux, sigma, columns, curves)

    def _modes_on(self, device: torch.device) -> Tensor:
        """Return the modes there; they are brought once."""
        if device not in self._brought:
            self._brought[device] = torch.from_numpy(self.modes).to(device)
        return self._brought[device]

    @cached_property
    def _brought(self) -> dict[torch.device, Tensor]:
        return {}

    def _on_processor(self, flux: Tensor, sigma: Tensor, epoch: int, start: int) -> Batch:
        """Make the same, a row after the other, its numbers held in the nearest cache."""
        made = Batch(*(torch.empty(flux.shape) for _ in range(3)))
        arrays = [part.numpy() for part in (flux, sigma, made.target, made.noisy, made.variance)]
        steps = row_words(self.pixels) // row_words(1)
        key = stream_key(self.seed, self.split, self.noise_purpose)
        drawn = self._drawn(epoch, start, len(flux)) if self.is_on else _Drawn.nothing(len(flux))
        for first in range(0, len(flux), _ROWS):
            some = slice(first, min(first + _ROWS, len(flux)))
            curves, columns = self._curves(drawn, some)
            augmented_rows(
                *key, (start + first) * steps, epoch, steps, curves, columns,
                *(part[some] for part in arrays),
            )  # fmt: skip
        return made
