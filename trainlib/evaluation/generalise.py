"""Test a network on spectra unlike its training set, one kind after the other."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import Recipe, recipe_of
from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Place
from simlib.provenance import provenance
from simlib.rng import Purpose, Split
from trainlib.config import Augment
from trainlib.evaluation.circumstances import AS_TRAINED, Circumstance, circumstances
from trainlib.evaluation.examples import altered
from trainlib.evaluation.floor import information_floor
from trainlib.evaluation.generalisation import (
    Generalisation,
    OnLines,
    OnSpectra,
    read_generalisation,
    write_generalisation,
)
from trainlib.evaluation.metrics import measure, over_limit
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.training.augment import Augmenter, Batch
from trainlib.training.data import is_bare

log = logging.getLogger(__name__)

# Raised by hand when the same network is tested otherwise.
_VERSION = 1
SPECTRA = 512
_LINE_SNR = (5.0, 10.0, 20.0, 50.0, 100.0)
_SNR_TOLD = (10, 50, 90)  # per cent


@dataclass(frozen=True)
class _Test:
    """A network, the run whose training set is the usual one, what makes that, and how many."""

    trained: Trained
    usual: Trained
    recipe: Recipe
    spectra: int

    def identity(self, *what: object) -> str:
        """Return 16 hex digits of the network, of what is tested on it, and how."""
        config = self.usual.config
        return fingerprint(
            _VERSION, self.trained.manifest.fingerprint, self.trained.checkpoint,
            self.usual.manifest.dataset.fingerprint, config.augment, config.evaluate.seed,
            config.evaluate.flux_floor, self.spectra, *what,
        )  # fmt: skip


def generalise(
    run_directory: Place, spectra: int = SPECTRA, usual: Place | None = None
) -> Generalisation:
    """Test a run's network on each kind of spectra, keep what was found, and return it.

    What was tested before is kept; killed, it goes on where it was. spectra: of each kind, none of
    which the dataset holds. usual: another run, whose training set the kinds are unlike, and whose
    noisy spectra are given; None for the run itself. Raises InputError where a run is not usable,
    the dataset's rows cannot be made again here, or the network is for other pixels.
    """
    trained = load_trained(run_directory)
    test = _test_of(trained, trained if usual is None else load_trained(usual), spectra)
    base = None if usual is None else test.usual.manifest.fingerprint
    todo = dict(_todo(test))
    known = read_generalisation(trained.directory, trained.checkpoint, base)
    rows: tuple[OnSpectra | OnLines, ...] = (*known.rows, *known.lines) if known else ()
    found = {row.identity: row for row in rows if row.identity in todo}
    record, made_by = known if found.keys() == todo.keys() else None, provenance()
    for identity, make in todo.items():
        if identity in found:
            continue
        found[identity] = _timed(make, identity)
        record = _record(trained, [found[one] for one in todo if one in found], made_by)
        write_generalisation(trained.directory, record, base)
    return record or _record(trained, [found[one] for one in todo], made_by)


def generalise_all(
    run_directories: Sequence[Place], spectra: int = SPECTRA
) -> list[dict[str, Any]]:
    """Test runs on spectra unlike the first one's training set; return each `run` with its record.

    Raises InputError as `generalise` does.
    """
    first = run_directories[0]
    return [
        {"run": str(run)}
        | generalise(run, spectra, None if number == 0 else first).model_dump(mode="json")
        for number, run in enumerate(run_directories)
    ]


def tested_on(
    run_directory: Place,
    usual: Place,
    spectra: int,
    kinds: Sequence[Circumstance],
    known: Mapping[str, OnSpectra],
) -> Iterator[OnSpectra]:
    """Yield what a run's network makes of kinds of spectra, those that are known as they are.

    usual, spectra: as `generalise` takes them, and which it may raise InputError for. known: rows
    by identity.
    """
    test = _test_of(load_trained(run_directory), load_trained(usual), spectra)
    for one in kinds:
        identity = test.identity(one.identity)
        if (row := known.get(identity)) is None:
            made = _timed(partial(_tested, test, one), identity)
            assert isinstance(made, OnSpectra)
            row = made
        yield row


def _test_of(trained: Trained, usual: Trained, spectra: int) -> _Test:
    place = usual.dataset
    if is_bare(place):
        raise InputError(
            f"{usual.directory} was trained on {place}, a store of spectra alone: none of "
            "another kind can be made; train on a dataset's folder"
        )
    pixels, others = trained.pixels, usual.pixels
    if pixels != others:
        raise InputError(
            f"{trained.directory} is of {pixels} pixels, {usual.directory} of {others}: they "
            "cannot be tested on the same spectra"
        )
    recipe, _ = recipe_of(*published_dataset(place))
    return _Test(trained, usual, recipe, spectra)


def _record(
    trained: Trained, rows: list[OnSpectra | OnLines], made_by: dict[str, Any]
) -> Generalisation:
    return Generalisation(
        checkpoint=trained.checkpoint,
        dataset=trained.manifest.dataset.fingerprint,
        rows=tuple(row for row in rows if isinstance(row, OnSpectra)),
        lines=tuple(row for row in rows if isinstance(row, OnLines)),
        provenance=made_by,
    )


def _todo(test: _Test) -> Iterator[tuple[str, Callable[[str], OnSpectra | OnLines]]]:
    """Yield the identity of every row, and what makes it."""
    for one in circumstances(test.recipe.config):
        yield (
            test.identity(one.identity),
            partial(_tested, test, one),
        )
    for snr in _LINE_SNR:
        yield test.identity("lines", snr), partial(_lines, test, snr)


def _timed(make: Callable[[str], OnSpectra | OnLines], identity: str) -> OnSpectra | OnLines:
    begin = time.process_time()
    row = make(identity)
    log.info("%s: %s", row.name, row.reason or row.text)
    return row.model_copy(update={"cpu_seconds": time.process_time() - begin})


def _tested(test: _Test, one: Circumstance, identity: str) -> OnSpectra:
    """Return what the network makes of one kind of spectra."""
    row = OnSpectra(identity=identity, name=one.name, text=one.text)
    try:
        rows, recipe = _simulated(test, one)
        batch = _batch(test, rows, one.augment(test.usual.config.augment))
        batch = one.spoil(batch) if one.spoil else batch
        floor = _limit(test, one, rows, recipe, batch)
    except InputError as error:
        return row.model_copy(update={"reason": str(error)})
    section = test.usual.config.evaluate
    is_seen = batch.variance.isfinite()
    with torch.inference_mode():
        denoised = test.trained.model(batch.noisy, batch.variance)
    if not bool(denoised.isfinite().all()):
        return row.model_copy(update={"reason": "the network gives values that are not finite"})
    made = measure(denoised, batch.target, section.flux_floor)
    noisy = measure(batch.noisy.where(is_seen, batch.target), batch.target, section.flux_floor)
    eta, scatter = over_limit(made.mean_abs_relative_error, floor)
    low, middle, high = map(float, np.percentile(rows["snr"].values, _SNR_TOLD))
    return row.model_copy(update={
        "spectra": len(denoised),
        "snr": (low, middle, high),
        "noisy": float(noisy.mean_abs_relative_error.mean()),
        "error": float(made.mean_abs_relative_error.mean()),
        "bias": float(made.mean_relative_error.mean()),
        "floor": float(floor.mean()),
        "worst": float(np.median(made.max_abs_relative_error)),
        "eta": eta,
        "eta_error": scatter if np.isfinite(scatter) else None,
    })  # fmt: skip


def _simulated(test: _Test, one: Circumstance) -> tuple[xr.Dataset, Recipe]:
    """Return spectra of a kind, of stars that the dataset does not hold, and what made them."""
    config = one.config(test.recipe.config)
    other = config.dataset.model_copy(update={"seed": (config.dataset.seed + 1) % 2**63})
    recipe = Recipe(config.model_copy(update={"dataset": other}), test.recipe.terms)
    drawn = recipe.drawn(Split.test.name, 0, test.spectra)
    for name, value in one.columns.items():
        drawn[name] = drawn[name].copy(data=np.full_like(drawn[name].values, value))
    return recipe.observed(drawn).load(), recipe


def _batch(test: _Test, rows: xr.Dataset, augment: Augment, scale: np.ndarray | None = None) -> (
    Batch
):  # fmt: skip
    """Return noisy spectra. scale: of the noise, (rows,)."""
    flux = torch.from_numpy(rows["flux"].values.astype(np.float32))
    sigma = np.sqrt(rows["variance"].values)
    if scale is not None:
        sigma = sigma * scale[:, np.newaxis]
    seed = test.usual.config.evaluate.seed
    augmenter = Augmenter(augment, flux.shape[1], seed, Split.test, Purpose.evaluation_noise)
    return augmenter(flux, torch.from_numpy(sigma.astype(np.float32)), 0, 0)


def _limit(
    test: _Test, one: Circumstance, rows: xr.Dataset, recipe: Recipe, batch: Batch
) -> np.ndarray:
    """Return the information limit of spectra, (rows,); masked pixels tell nothing."""
    # seeing and moon are in the variance: only the lines' width makes another generator
    same = "instrument.lsf" not in one.changes
    seen = rows.assign(variance=rows["variance"].where(batch.variance.isfinite().numpy(), np.inf))
    augment = one.augment(test.usual.config.augment)
    floor = test.usual.config.evaluate.flux_floor
    made_by = test.recipe if same else recipe
    return information_floor(seen, made_by, augment, floor)[0].whole


def _lines(test: _Test, snr: float, identity: str) -> OnLines:
    """Return what the network makes of lines that no star has; the noise is brought to an S/N."""
    rows, _ = _simulated(test, Circumstance(AS_TRAINED, ""))
    config = test.usual.config
    batch = _batch(test, rows, config.augment, rows["snr"].values / snr)
    redshift = rows["redshift"].values.astype(float)
    floor = config.evaluate.flux_floor
    with torch.inference_mode():
        made = altered(test.trained.model, batch, rows["wavelength"].values, redshift, floor)
        error = measure(made.denoised, batch.target, floor).mean_abs_relative_error
    return OnLines(
        identity=identity,
        name=f"lines at S/N {snr:g}",
        text="a new line at 8600 Å, 40 % deep, and one at 8542 Å, 30 % deeper",
        spectra=len(rows["snr"]),
        snr=snr,
        new_line=_median(made.new_line),
        deeper_line=_median(made.deeper_line),
        error=float(error.mean()),
        penalty=float(made.off_lines.mean()),
    )


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
