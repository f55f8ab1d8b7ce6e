"""The batches of an epoch, each cut over the ranks: from memory, or simulated as they are needed.

An epoch visits `rows` spectra. Those of a dataset are the same in every epoch, in another order;
what is too large for memory is simulated again, which costs less than to read it. The endless ones
go on where the epoch before ended, and none comes twice. What the ranks hold together
follows from epoch and batch alone: neither their number nor an interruption changes a run.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, count, islice
from typing import NamedTuple, Protocol

import numpy as np
import psutil
import torch
import xarray as xr
from torch import Tensor

from simlib.dataset.endless import EndlessSplit
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.errors import InputError
from simlib.location import Location
from trainlib.config import TrainingConfig
from trainlib.training.data import (
    Spectra,
    first_unusable,
    is_bare,
    open_endless_split,
    open_split,
    read_together,
    root_of,
)
from trainlib.training.distributed import Ranks
from trainlib.training.normals import epoch_order
from trainlib.training.prefetch import Prefetcher
from trainlib.training.stacks import Stacks, lasting_share

log = logging.getLogger(__name__)

_SHARE = 0.5  # of the memory that is free, for spectra
_ROWS_A_CALL = 2048  # of this rank, about: a call of the simulator costs some 30 ms of its own
_CALLS_AHEAD = 1  # beside the one whose batches are in use: 34 kB a row of 4096 pixels


@dataclass(frozen=True)
class LocalBatch:
    """This rank's rows of one batch, clean flux and noise sigma, float32 (rows, pixels).

    place: of the first row in the epoch's order. batch_rows: of all ranks together. labels: those
    that were asked for of the parameters, by name, (rows,).
    """

    flux: Tensor
    sigma: Tensor
    place: int
    batch_rows: int
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


class Source(Protocol):
    """Where training spectra come from: `rows` an epoch, of `pixels` pixels."""

    @property
    def rows(self) -> int:
        """Spectra of one epoch."""

    @property
    def pixels(self) -> int:
        """Pixels of a spectrum."""

    def first(self, rows: int) -> Spectra:
        """Return the first rows of the training split."""

    def epoch(self, number: int) -> Iterator[LocalBatch]:
        """Yield this rank's rows of every batch of an epoch."""

    def close(self) -> None:
        """End what works in the background."""


def open_source(
    config: TrainingConfig, dataset: Location, ranks: Ranks, labels: Sequence[str] = ()
) -> Source:
    """Return the source that `dataset.mode` asks for; InputError where it cannot be one.

    labels: names of the parameters that come with the spectra.
    """
    batch_size, stacks = config.train.batch_size, stacks_of(config, dataset)
    if config.dataset.mode == "endless":
        return Endless(open_endless_split(dataset), batch_size, ranks, labels, stacks=stacks)
    split, seed = open_split(dataset, "train"), config.train.seed
    if stacks is not None:
        labels = (*labels, "snr")
    need, room = split_bytes(split) / 1e9, ranks.least(config.train.memory_gb or room_gb())
    if need <= room:
        return Stored(read_together(split, ranks, labels), seed, batch_size, ranks, stacks)
    if is_bare(dataset):
        raise InputError(
            f"the training spectra of {dataset} take {need:.3g} GB of memory, more than "
            f"{room:.3g}; set train.memory_gb if there is more, or train on a dataset of the "
            "program's own, whose spectra can be made again as they are needed"
        )
    log.info("training spectra would take %.3g GB of memory, more than %.3g (train.memory_gb): "
             "each is made again when it is needed", need, room)  # fmt: skip
    return Endless(open_endless_split(dataset), batch_size, ranks, labels, seed, stacks)


def stacks_of(config: TrainingConfig, dataset: Location) -> Stacks | None:
    """Return which spectra are partial stacks, None where all are whole.

    Raises InputError where the dataset's are of one exposure, or cannot be made again here.
    """
    least = config.augment.partial_snr
    if not least:
        return None
    conditions, lasting = config.conditions, np.zeros(1, np.float32)
    if not is_bare(dataset):
        recipe, _ = recipe_of(*published_dataset(dataset))
        conditions, lasting = recipe.config.conditions, lasting_share(recipe)
    if conditions.exposure_count == 1:
        raise InputError(
            f"augment.partial_snr = {least:g} asks for stacks of fewer exposures, but those of "
            f"{dataset} have one; set augment.partial_snr = 0"
        )
    return Stacks(config.train.seed, conditions.exposure_count, least, lasting)


def split_bytes(split: xr.Dataset) -> int:
    """Return the bytes that a split takes in memory: two numbers a pixel."""
    return 8 * int(split.sizes["spectrum"]) * int(split.sizes["wavelength"])


def room_gb() -> float:
    """Return the memory that spectra may take where nobody says how much."""
    return _SHARE * float(psutil.virtual_memory().available) / 1e9


class LocalRows(NamedTuple):
    """Places start … stop - 1 of an epoch's order: what a rank has of a batch of batch_rows."""

    start: int
    stop: int
    batch_rows: int


class Planned(NamedTuple):
    """The numbers of this rank's rows of a batch of an epoch."""

    rows: np.ndarray
    epoch: int
    local: LocalRows


def local_rows(rows: int, batch_size: int, ranks: Ranks) -> Iterator[LocalRows]:
    """Yield what this rank has of every batch of an epoch, the last one shorter."""
    for first in range(0, rows, batch_size):
        batch_rows = min(batch_size, rows - first)
        mine = ranks.part(batch_rows)
        yield LocalRows(first + mine.start, first + mine.stop, batch_rows)


class Stored:
    """A whole split in memory, visited in a new order every epoch."""

    def __init__(
        self,
        clean: Spectra,
        seed: int,
        batch_size: int,
        ranks: Ranks,
        stacks: Stacks | None = None,
    ) -> None:
        self.clean, self.seed, self.batch_size, self.ranks = clean, seed, batch_size, ranks
        self.stacks = stacks
        self.rows, self.pixels = clean.flux.shape

    def first(self, rows: int) -> Spectra:
        """Return the first rows of the split."""
        labels = {name: values[:rows] for name, values in self.clean.labels.items()}
        return Spectra(self.clean.flux[:rows], self.clean.sigma[:rows], labels=labels)

    def epoch(self, number: int) -> Iterator[LocalBatch]:
        """Yield this rank's rows of every batch of an epoch."""
        numbers = epoch_order(self.seed, number, self.rows)
        order = torch.from_numpy(numbers).to(self.ranks.device)
        for local in local_rows(self.rows, self.batch_size, self.ranks):
            chosen = order[local.start : local.stop]
            own = numbers[local.start : local.stop]
            labels = {name: values[own] for name, values in self.clean.labels.items()}
            sigma = self.clean.sigma[chosen]
            if self.stacks is not None:
                counts = self.stacks.exposures(number, local.start, labels["snr"])
                sigma *= self.stacks.growth(counts, sigma.device)
            yield LocalBatch(self.clean.flux[chosen], sigma, local.start, local.batch_rows, labels)

    def close(self) -> None:
        """Nothing works in the background."""


class Endless:
    """Spectra simulated by a thread, a little ahead of their use; epoch 0 are the split's own.

    again: where these come again in every epoch, the seed of their orders, which are as `Stored`
    has them: the run is the same.
    """

    def __init__(
        self,
        split: EndlessSplit,
        batch_size: int,
        ranks: Ranks,
        labels: Sequence[str] = (),
        again: int | None = None,
        stacks: Stacks | None = None,
    ) -> None:
        self.again, self.stacks = again, stacks
        self.split, self.batch_size, self.ranks, self.labels = split, batch_size, ranks, labels
        self.rows, self.pixels = split.rows, split.pixels
        self._prefetcher: Prefetcher[list[LocalBatch]] | None = None
        self._batches: Iterator[LocalBatch] = iter(())
        self._next: int | None = None  # the epoch that `_batches` goes on with

    def first(self, rows: int) -> Spectra:
        """Return the first rows of the split."""
        flux = torch.empty(rows, self.pixels, device=self.ranks.device)
        sigma = torch.empty_like(flux)
        labels = {name: np.empty(rows) for name in self.labels}
        for start in range(0, rows, _ROWS_A_CALL):
            some = slice(start, min(start + _ROWS_A_CALL, rows))
            made = self._simulate(np.arange(some.start, some.stop))
            flux[some], sigma[some] = made.flux, made.sigma
            for name, values in made.labels.items():
                labels[name][some] = values
        return Spectra(flux, sigma, labels=labels)

    def epoch(self, number: int) -> Iterator[LocalBatch]:
        """Yield this rank's rows of every batch of an epoch; the next is simulated meanwhile."""
        if number != self._next:
            self.close()
            self._prefetcher = Prefetcher(self._calls(number), _CALLS_AHEAD)
            self._batches = chain.from_iterable(self._prefetcher)
        self._next = None
        yield from islice(self._batches, -(-self.rows // self.batch_size))
        self._next = number + 1

    def close(self) -> None:
        """End the thread."""
        if self._prefetcher is not None:
            self._prefetcher.close()
        self._prefetcher, self._batches, self._next = None, iter(()), None

    def _calls(self, epoch: int) -> Iterator[list[LocalBatch]]:
        """Yield this rank's rows of some batches at a time, for ever, from an epoch on."""
        planned = self._planned(epoch)
        rows_a_batch = min(self.batch_size, self.rows) / self.ranks.world
        batches = max(1, round(_ROWS_A_CALL / rows_a_batch))
        while True:
            yield self._batches_of(list(islice(planned, batches)))

    def _planned(self, epoch: int) -> Iterator[Planned]:
        """Yield this rank's rows of every batch, for ever, from an epoch on."""
        for number in count(epoch):
            order = None if self.again is None else epoch_order(self.again, number, self.rows)
            for local in local_rows(self.rows, self.batch_size, self.ranks):
                first = number * self.rows
                rows = (
                    np.arange(first + local.start, first + local.stop)
                    if order is None
                    else order[local.start : local.stop]
                )
                yield Planned(rows, number, local)

    def _batches_of(self, planned: list[Planned]) -> list[LocalBatch]:
        """Return this rank's rows of batches."""
        sizes = [len(some.rows) for some in planned]
        parts = [slice(end - size, end) for end, size in zip(accumulate(sizes), sizes, strict=True)]
        made = self._simulate(np.concatenate([some.rows for some in planned]), planned)
        return [
            LocalBatch(
                made.flux[part],
                made.sigma[part],
                some.local.start,
                some.local.batch_rows,
                {name: values[part] for name, values in made.labels.items()},
            )
            for part, some in zip(parts, planned, strict=True)
        ]

    def _simulate(self, numbers: np.ndarray, planned: Sequence[Planned] = ()) -> Spectra:
        """Return rows by number; those of batches as the stacks that they are in these."""
        stacks = self.stacks if planned else None
        exposures = partial(_exposures, stacks, planned) if stacks is not None else None
        spectra = self.split.spectra(numbers, exposures if self.again is None else None)
        flux, variance = spectra["flux"].values, spectra["variance"].values
        sigma = root_of(variance, out=variance)  # these are ours alone: no copy
        if (bad := first_unusable(flux, sigma)) is not None:
            raise InputError(
                f"row {numbers[bad]} of the endless training set has a flux that is not finite or "
                "a variance that is not positive; narrow the ranges of stellar and conditions"
            )
        device = self.ranks.device
        labels = {name: spectra[name].values for name in self.labels}
        made = Spectra(carried(flux, device), carried(sigma, device), labels=labels)
        if stacks is not None and self.again is not None:  # as of the stored row, like `Stored`
            counts = _exposures(stacks, planned, spectra["snr"].values)
            made.sigma.mul_(stacks.growth(counts, device))
        return made


def carried(values: np.ndarray, device: torch.device) -> Tensor:
    """Return an array on a device; nobody waits for its journey to a GPU."""
    here = torch.from_numpy(values)
    return here if device.type == "cpu" else here.pin_memory().to(device, non_blocking=True)


def _exposures(stacks: Stacks, planned: Sequence[Planned], snr: np.ndarray) -> np.ndarray:
    """Return the exposures of the rows of batches, one batch after the other, by their S/N."""
    of_each = np.split(snr, np.cumsum([len(some.rows) for some in planned])[:-1])
    return np.concatenate([
        stacks.exposures(some.epoch, some.local.start, part)
        for some, part in zip(planned, of_each, strict=True)
    ])  # fmt: skip
