"""What makes the parts of an evaluation, in this process or on a worker: a kind, and some rows.

It travels as the places of run and dataset; what they hold is opened where it is needed, once.
"""

import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from simlib.dataset.endless import EndlessSplit
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import Recipe, recipe_of
from simlib.errors import InputError
from simlib.fit.cold import Library, coarse_library
from simlib.fit.problem import Problem, stars_of
from simlib.location import Location
from simlib.parameters import AXES
from trainlib.config import Evaluate
from trainlib.evaluation.fits import judge_fits, timed
from trainlib.evaluation.floor import fit_problem, information_floor
from trainlib.evaluation.judged import judged
from trainlib.evaluation.methods import (
    Method,
    at_rest_in,
    learn_methods,
    methods_of,
    templates_of,
)
from trainlib.evaluation.metrics import measure
from trainlib.evaluation.parts import REASON, SUM, Arrays, Parts, joined, named
from trainlib.evaluation.refusal import judge_errors, judge_strangers
from trainlib.evaluation.templates import Templates
from trainlib.evaluation.trained import Trained, augmenter_of, batches_of, judged_by, load_trained
from trainlib.evaluation.trust import rows_of, tried, trust_of
from trainlib.training.augment import Batch
from trainlib.training.data import Spectra, is_bare, open_split, read_spectra
from trainlib.trust.model import Trust

SPENT = f"spent{SUM}"  # seconds of a part: by the clock, of the processor
_CPU = torch.device("cpu")


class Judging:
    """The work on parts: `LEARN` first, which others need, and the trust before what is of it.

    rows: of each kind. checkpoint: digest of the network's file that is judged.
    """

    def __init__(
        self, parts: Parts, dataset: Location, section: Evaluate, checkpoint: str,
        rows: dict[str, int],
    ) -> None:  # fmt: skip
        self.parts, self.dataset, self.section = parts, dataset, section
        self.checkpoint, self.rows = checkpoint, rows

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what it was made of."""
        return Judging, (self.parts, self.dataset, self.section, self.checkpoint, self.rows)

    def __call__(self, kind: str, starts: tuple[int, ...]) -> int:
        """Make and keep the parts that begin there, but those that another did; return the rows."""
        count = 0
        for start in starts:
            stop = min(start + self.parts.block, self.rows[kind])
            if self.parts.read(kind, start, stop) is None:
                self.parts.write(kind, start, stop, self._made(kind, start, stop))
            count += stop - start
        return count

    def _made(self, kind: str, start: int, stop: int) -> Arrays:
        begin, begin_cpu = time.monotonic(), time.process_time()
        try:
            made = _MAKERS[kind](self, start, stop)
        except InputError as error:
            if kind not in _MAY_LACK:
                raise
            made = {REASON: np.array(str(error))}
        spent = [time.monotonic() - begin, time.process_time() - begin_cpu]
        return made | {SPENT: np.array(spent)}

    @cached_property
    def trained(self) -> Trained:
        """The run; InputError where it was trained on since the evaluation began."""
        trained = judged_by(load_trained(self.parts.run, self.section), self.section)
        if trained.checkpoint != self.checkpoint:
            raise InputError(
                f"{trained.directory} was trained further while it was judged; run `specdenoise "
                "evaluate` again"
            )
        return trained

    @cached_property
    def labels(self) -> xr.Dataset:
        """The split that is judged on."""
        return open_split(self.dataset, self.section.split)

    @cached_property
    def _learnt(self) -> Arrays:
        # learnt again where another evaluation, which is finished, cleared the parts
        return self.parts.read(LEARN, 0, 1) or self._made(LEARN, 0, 1)

    @cached_property
    def _methods(self) -> dict[str, Method]:
        return methods_of(self.trained, self._learnt)

    @cached_property
    def _templates(self) -> Templates:
        at_rest = at_rest_in(self._learnt)
        assert at_rest is not None  # whoever asks for templates looks first
        return templates_of(self.dataset, at_rest)

    @cached_property
    def _recipe(self) -> Recipe:
        if is_bare(self.dataset):
            raise InputError(f"{self.dataset} is a store of spectra alone")
        return recipe_of(*published_dataset(self.dataset))[0]

    @cached_property
    def _fitting(self) -> tuple[Problem, Library]:
        augment = self.trained.config.augment
        if augment.target == "original":
            raise InputError(
                "a fit gives spectra as they are seen, augment.target = 'original' asks for others"
            )
        problem = fit_problem(self._recipe, augment)
        return problem, coarse_library(problem)

    @cached_property
    def _trust(self) -> Trust:
        return Trust.of(trust_of(self.trained))

    @cached_property
    def _own_rows(self) -> EndlessSplit:
        return rows_of(self.trained)

    def _read(self, start: int, stop: int, *labels: str) -> Spectra:
        return read_spectra(self.labels, start, stop, _CPU, labels)

    def _batches(self, spectra: Spectra) -> list[tuple[slice, Batch]]:
        augmenter = augmenter_of(self.trained, self.section.split)
        return [
            (some, augmenter(spectra.flux[some], spectra.sigma[some], 0, first))
            for some, first in batches_of(spectra)
        ]

    def _learn(self, start: int, stop: int) -> Arrays:
        return learn_methods(self.trained, self.dataset)

    def _judge(self, start: int, stop: int) -> Arrays:
        spectra = self._read(start, stop)
        on, off = (judged(self.trained, self._methods, spectra, is_on) for is_on in (True, False))
        return named("on_", on) | named("off_", off)

    def _floor(self, start: int, stop: int) -> Arrays:
        some = self.labels.isel(spectrum=slice(start, stop))
        augment, floor = self.trained.config.augment, self.section.flux_floor
        on, off = information_floor(some, self._recipe, augment, floor)
        return named("on_", vars(on)) | named("off_", vars(off))

    def _template(self, start: int, stop: int) -> Arrays:
        parts, seconds = [], 0.0
        for _, batch in self._batches(self._read(start, stop)):
            with torch.inference_mode():
                made, spent = timed(partial(self._templates, batch.noisy, batch.variance))
            seconds += spent
            parts.append(vars(measure(made, batch.target, self.section.flux_floor)))
        return joined(parts) | {f"seconds{SUM}": np.array(seconds)}

    def _fit(self, start: int, stop: int) -> Arrays:
        problem, library = self._fitting
        truth = stars_of(self.labels.isel(spectrum=slice(start, stop)))
        parts = [
            judge_fits(
                problem, library, self.trained.model, batch, truth[some], self.section.flux_floor
            )
            for some, batch in self._batches(self._read(start, stop))
        ]
        return joined(parts)

    def _try(self, start: int, stop: int) -> Arrays:
        return dict(vars(tried(self.trained, self._own_rows, start, stop)))

    def _errors(self, start: int, stop: int) -> Arrays:
        spectra = self._read(start, stop, "redshift", *AXES)
        wavelength = self.labels["wavelength"].values
        return judge_errors(self.trained, self._trust, spectra, wavelength)

    def _strangers(self, start: int, stop: int) -> Arrays:
        spectra = self._read(start, stop, "redshift")
        wavelength = self.labels["wavelength"].values
        return judge_strangers(self.trained, self._trust, spectra, wavelength)


LEARN, JUDGE, FLOOR, TEMPLATE, FIT = "learn", "judge", "floor", "template", "fit"
TRY, ERRORS, STRANGERS = "try", "errors", "strangers"
_MAKERS: dict[str, Callable[[Judging, int, int], Arrays]] = {
    LEARN: Judging._learn,
    JUDGE: Judging._judge,
    FLOOR: Judging._floor,
    TEMPLATE: Judging._template,
    FIT: Judging._fit,
    TRY: Judging._try,
    ERRORS: Judging._errors,
    STRANGERS: Judging._strangers,
}
_MAY_LACK = {FLOOR, FIT, TRY, STRANGERS}  # an evaluation says why, and goes on without
