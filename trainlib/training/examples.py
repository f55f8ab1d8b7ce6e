"""What a network learns from, and is validated on: batches, as its objective takes them.

Networks in the observed frame take every spectrum as the augmentation makes it. For those in the
rest frame, the noisy spectra of an epoch are brought there once, which costs more than a step of
training, and are gone through in several epochs, batches in another order each time. A rank
prepares its own rows alone, and what is prepared follows from the epoch: it is made again after an
interruption.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from simlib.parameters import AXES
from trainlib.models.noise_level import seen_median
from trainlib.models.rest_statistics import RestSample, rest_statistics
from trainlib.models.restframe import RestFrameNetwork, RestObjective
from trainlib.rest.axis import spline_samples
from trainlib.rest.frame import RestFrame, weights_of
from trainlib.rest.statistics import RestStatistics
from trainlib.training.augment import Augmenter
from trainlib.training.batches import Source
from trainlib.training.data import Spectra
from trainlib.training.loss import mae, rmse
from trainlib.training.normals import epoch_order
from trainlib.training.truth import Truth

_VALIDATION_ROWS = 256  # validated at once
_PREPARED_ROWS = 512  # at once
_LEAST_SHIFT, _MOST_SHIFT = 0.02, 0.3  # pixels that the redshift found is off, about, by S/N
_FARTHEST = 1.0  # pixels


class Example(NamedTuple):
    """This rank's rows of a batch, as its objective takes them. batch_rows: of all ranks."""

    inputs: tuple[Tensor, ...]
    batch_rows: int


class Examples(Protocol):
    """Where examples come from."""

    def objective(self, model: nn.Module) -> nn.Module:
        """Return what is minimised: its forward takes the inputs and returns (rows,) errors."""

    def epoch(self, number: int, first: int = 0) -> Iterator[Example]:
        """Yield this rank's rows of every batch of an epoch from one on."""

    def held_out(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield this rank's validation spectra, the same ones every time."""


class Objective(nn.Module):
    """The network as DDP sees it: its forward is the error that is minimised."""

    def __init__(self, model: nn.Module, loss: str = "rmse") -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, flux_noisy: Tensor, variance: Tensor, target: Tensor) -> Tensor:
        """Return (rows,) root mean square error of each spectrum (paper, equation 2), or mean."""
        if self.loss == "mae":
            return mae(self.model(flux_noisy, variance) - target)
        return rmse(self.model.squared_error(flux_noisy, variance, target))  # type: ignore[operator]


@dataclass(frozen=True)
class ObservedExamples:
    """Spectra as they are observed."""

    source: Source
    spectra: Spectra
    training: Augmenter
    validating: Augmenter
    loss: str = "rmse"

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the error in the observed frame."""
        return Objective(model, self.loss)

    def epoch(self, number: int, first: int = 0) -> Iterator[Example]:
        """Yield noisy flux, variance and target of every batch from one on."""
        for mine in islice(self.source.epoch(number), first, None):
            batch = self.training(mine.flux, mine.sigma, number, mine.place)
            yield Example((batch.noisy, batch.variance, batch.target), mine.batch_rows)

    def held_out(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the same of the validation spectra, noise and draws frozen."""
        held = self.spectra
        for first in range(0, len(held), _VALIDATION_ROWS):
            some = slice(first, first + _VALIDATION_ROWS)
            batch = self.validating(held.flux[some], held.sigma[some], 0, held.start + first)
            yield batch.noisy, batch.variance, batch.target


@dataclass
class RestExamples:
    """Spectra brought to the rest frame; what was prepared last is kept.

    passes: epochs that go through the same noisy rows. device: of the network, where it
    is not on the processor as the spectra are.
    """

    source: Source
    spectra: Spectra
    training: Augmenter
    validating: Augmenter
    truth: Truth
    frame: RestFrame
    passes: int
    loss: str = "rmse"
    device: torch.device | None = None
    _round: int | None = None
    _prepared: list[Example] = field(default_factory=list)
    _held_out: list[tuple[Tensor, ...]] = field(default_factory=list)

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the error in the rest frame."""
        if not isinstance(model, RestFrameNetwork):
            raise TypeError("examples of the rest frame are for a network there")
        return RestObjective(model, self.loss)

    def epoch(self, number: int, first: int = 0) -> Iterator[Example]:
        """Yield what `RestObjective` takes, of every batch from one on; see there."""
        if number // self.passes != self._round:
            self._round = number // self.passes
            self._prepared = []  # the rows before these are not held beside them
            self._prepared = [
                Example(
                    self._prepare(
                        Spectra(mine.flux, mine.sigma, mine.place, mine.labels),
                        self.training,
                        self._round,
                    ),
                    mine.batch_rows,
                )
                for mine in self.source.epoch(self._round)
            ]
        for place in epoch_order(self.training.seed, number, len(self._prepared))[first:]:
            yield self._prepared[place]

    def held_out(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the same of the validation spectra, noise and draws frozen."""
        held = self.spectra
        if not self._held_out:
            self._held_out = [
                self._prepare(_some(held, first), self.validating, 0)
                for first in range(0, len(held), _VALIDATION_ROWS)
            ]
        yield from self._held_out

    def _prepare(self, spectra: Spectra, augmenter: Augmenter, epoch: int) -> tuple[Tensor, ...]:
        """Return linear solutions, levels, redshifts, true coefficients and stars of rows."""
        parts = [
            self._brought(_some(spectra, first, _PREPARED_ROWS), augmenter, epoch)
            for first in range(0, max(len(spectra), 1), _PREPARED_ROWS)
        ]
        return tuple(torch.cat(column).to(self.device) for column in zip(*parts, strict=True))

    def _brought(self, spectra: Spectra, augmenter: Augmenter, epoch: int) -> tuple[Tensor, ...]:
        flux, sigma, labels, start = spectra.flux, spectra.sigma, spectra.labels, spectra.start
        batch = augmenter(flux, sigma, epoch, start)
        noisy, variance, target = batch.noisy, batch.variance, batch.target
        frame = frames_taken(self.truth, labels, target, variance, augmenter, epoch, start)
        solution, level = self.frame.solved(noisy.numpy(), variance.numpy(), frame)
        offset = augmenter.offsets(epoch, start, len(flux))
        curves = self.truth.coefficients(labels, target.numpy(), offset, frame)
        mean, spread = self.frame.statistics.stars
        prepared = (
            solution,
            level,
            frame.astype(np.float32),
            self.frame.coefficients(curves),
            (stars_of(labels) - mean) / spread,
        )
        return tuple(torch.from_numpy(part) for part in prepared)


def _some(spectra: Spectra, first: int, rows: int = _VALIDATION_ROWS) -> Spectra:
    """Return rows from one on."""
    some = slice(first, first + rows)
    labels = {name: values[some] for name, values in spectra.labels.items()}
    return Spectra(spectra.flux[some], spectra.sigma[some], spectra.start + first, labels)


def stars_of(labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (rows, 4) float32, the parameters of stars."""
    return np.stack([labels[name] for name in AXES], axis=1).astype(np.float32)


def frames_taken(
    truth: Truth,
    labels: Mapping[str, np.ndarray],
    target: Tensor,
    variance: Tensor,
    augmenter: Augmenter,
    epoch: int,
    start: int,
) -> np.ndarray:
    """Return redshifts that are off as found ones are: by a Student's t of four degrees, (rows,).

    Its width goes with the noise. The network is to expect it.
    """
    some = slice(None, None, 8)
    relative = (variance[:, some].sqrt() / target[:, some]).abs()
    noise = seen_median(relative)[:, 0].nan_to_num(nan=_MOST_SHIFT).numpy()
    width = np.clip(noise, _LEAST_SHIFT, _MOST_SHIFT)
    uniform = augmenter.spare(epoch, start, len(noise)).astype(float)
    off = np.clip(width * student_4(uniform), -_FARTHEST, _FARTHEST)
    return np.asarray(labels["redshift"].astype(float) + off * truth.axis.pixel_redshift)


def student_4(uniform: np.ndarray) -> np.ndarray:
    """Return the quantile of Student's t of four degrees (Shaw 2006), of numbers in [0, 1]."""
    p = np.clip(uniform, 1e-7, 1.0 - 1e-7)
    alpha = np.sqrt(4.0 * p * (1.0 - p))
    return np.asarray(
        np.sign(p - 0.5) * 2.0 * np.sqrt(np.cos(np.arccos(alpha) / 3.0) / alpha - 1.0)
    )


def statistics_of_rest(
    truth: Truth, clean: Spectra, training: Augmenter, rank: int, seed: int
) -> RestStatistics:
    """Return the statistics of augmented training spectra in the rest frame."""
    axis = truth.axis
    values = np.empty((len(clean), axis.points), np.float32)
    weights = np.empty_like(values)
    shape = torch.zeros(axis.pixels, dtype=torch.float64)
    for first in range(0, len(clean), _PREPARED_ROWS):
        some = _some(clean, first, _PREPARED_ROWS)
        is_original = training.config.target == "original"
        target = some.flux if is_original else training.target(some.flux, 0, first)[0]
        sigma = some.sigma
        frame = frames_taken(truth, some.labels, target, sigma.square(), training, 0, first)
        rows = slice(first, first + len(some))
        offset = training.offsets(0, first, len(some))
        true = truth.coefficients(some.labels, target.numpy(), offset, frame)
        values[rows] = spline_samples(true)
        weights[rows] = axis.scatter(weights_of(sigma.square().numpy())[0], frame)
        shape += (sigma / sigma.median(dim=1, keepdim=True).values).double().sum(dim=0)
    sample = RestSample(values, weights, stars_of(clean.labels))
    noise_shape = (shape / len(clean)).float().numpy()
    return rest_statistics(axis, truth.redshifts, sample, noise_shape, rank, seed)
