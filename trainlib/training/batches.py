"""The batches of an epoch, each cut over the ranks: from memory, or simulated as they are needed.

An epoch visits `rows` spectra. Those of a dataset are the same in every epoch, in another order;
what is too large for memory is simulated again, which costs less than to read it. The endless ones
go on where the epoch before ended, and none comes twice. What the ranks hold together
follows from epoch and batch alone: neither their number nor an interruption changes a run.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, count, islice
from typing import NamedTuple, Protocol

import numpy as np
import psutil
import torch
import xarray as xr
from torch import Tensor

from simlib.dataset.endless import EndlessSplit
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
    batch_size = config.train.batch_size
    if config.dataset.mode == "endless":
        return Endless(open_endless_split(dataset), batch_size, ranks, labels)
    split, seed = open_split(dataset, "train"), config.train.seed
    need, room = split_bytes(split) / 1e9, ranks.least(config.train.memory_gb or room_gb())
    if need <= room:
        return Stored(read_together(split, ranks, labels), seed, batch_size, ranks)
    if is_bare(dataset):
        raise InputError(
            f"the training spectra of {dataset} take {need:.3g} GB of memory, more than "
            f"{room:.3g}; set train.memory_gb if there is more, or train on a dataset of the "
            "program's own, whose spectra can be made again as they are needed"
        )
    log.info("training spectra would take %.3g GB of memory, more than %.3g (train.memory_gb): "
             "each is made again when it is needed", need, room)  # fmt: skip
    return Endless(open_endless_split(dataset), batch_size, ranks, labels, again=seed)


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


def local_rows(rows: int, batch_size: int, ranks: Ranks) -> Iterator[LocalRows]:
    """Yield what this rank has of every batch of an epoch, the last one shorter."""
    for first in range(0, rows, batch_size):
        batch_rows = min(batch_size, rows - first)
        mine = ranks.part(batch_rows)
        yield LocalRows(first + mine.start, first + mine.stop, batch_rows)


class Stored:
    """A whole split in memory, visited in a new order every epoch."""

    def __init__(self, clean: Spectra, seed: int, batch_size: int, ranks: Ranks) -> None:
        self.clean, self.seed, self.batch_size, self.ranks = clean, seed, batch_size, ranks
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
            yield LocalBatch(
                self.clean.flux[chosen],
                self.clean.sigma[chosen],
                local.start,
                local.batch_rows,
                {name: values[own] for name, values in self.clean.labels.items()},
            )

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
    ) -> None:
        self.again = again
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

    def _planned(self, epoch: int) -> Iterator[tuple[np.ndarray, LocalRows]]:
        """Yield the numbers of this rank's rows of every batch, for ever, from an epoch on."""
        for number in count(epoch):
            order = None if self.again is None else epoch_order(self.again, number, self.rows)
            for local in local_rows(self.rows, self.batch_size, self.ranks):
                first = number * self.rows
                yield (
                    np.arange(first + local.start, first + local.stop)
                    if order is None
                    else order[local.start : local.stop],
                    local,
                )

    def _batches_of(self, planned: list[tuple[np.ndarray, LocalRows]]) -> list[LocalBatch]:
        """Return this rank's rows of batches, each given with their numbers."""
        rows = [numbers for numbers, _ in planned]
        made = self._simulate(np.concatenate(rows))
        sizes = [len(some) for some in rows]
        parts = [slice(end - size, end) for end, size in zip(accumulate(sizes), sizes, strict=True)]
        return [
            LocalBatch(
                made.flux[part],
                made.sigma[part],
                local.start,
                local.batch_rows,
                {name: values[part] for name, values in made.labels.items()},
            )
            for part, (_, local) in zip(parts, planned, strict=True)
        ]

    def _simulate(self, numbers: np.ndarray) -> Spectra:
        spectra = self.split.spectra(numbers)
        flux, variance = spectra["flux"].values, spectra["variance"].values
        sigma = root_of(variance, out=variance)  # these are ours alone: no copy
        if (bad := first_unusable(flux, sigma)) is not None:
            raise InputError(
                f"row {numbers[bad]} of the endless training set has a flux that is not finite or "
                "a variance that is not positive; narrow the ranges of stellar and conditions"
            )
        device = self.ranks.device
        labels = {name: spectra[name].values for name in self.labels}
        return Spectra(
            torch.from_numpy(flux).to(device), torch.from_numpy(sigma).to(device), labels=labels
        )
