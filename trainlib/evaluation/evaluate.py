"""Judge a trained network and the baselines on the same spectra, with and without augmentation."""

import logging
import time
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import xarray as xr

from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location, Place
from simlib.provenance import arithmetic, provenance
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation.binned import summarise_parameters
from trainlib.evaluation.examples import example_rows, make_examples
from trainlib.evaluation.first_rows import padded, with_methods
from trainlib.evaluation.fits import Fits
from trainlib.evaluation.judged import measures_of
from trainlib.evaluation.judging import (
    ERRORS,
    FIT,
    FLOOR,
    JUDGE,
    LEARN,
    STRANGERS,
    TEMPLATE,
    TRY,
)
from trainlib.evaluation.making import Making
from trainlib.evaluation.methods import at_rest_in, methods_of
from trainlib.evaluation.metrics import (
    Measures,
    summarise_bins,
)
from trainlib.evaluation.parts import (
    PARTS_VERSION,
    SUM,
    Arrays,
    Progress,
    Spread,
    in_turn,
    said,
    under,
)
from trainlib.evaluation.refusal import judge_trust, with_errors
from trainlib.evaluation.results import (
    Evaluation,
    Results,
    evaluation_fingerprint,
    read_results,
    write_results,
)
from trainlib.evaluation.trained import Trained, augmenter_of, judged_by, load_trained
from trainlib.evaluation.trust import TRUST_VERSION, keep_trust, trust_of
from trainlib.evaluation.trust_numbers import summarise_trust
from trainlib.training.data import dataset_identity, open_split
from trainlib.trust.model import Tried, Trust

log = logging.getLogger(__name__)

_EXAMPLES = 48  # spectra kept for the report


def evaluate(
    run_directory: Place,
    dataset: Place | None = None,
    *,
    section: Evaluate | None = None,
    spread: Spread = in_turn,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `results.zarr` of a run and return its summary; judged so already, only return it.

    dataset: None for the one the run was trained on. section: how to judge, kept in the run's
    config; None for what stands there. spread: does the parts, here one after the other; cut off,
    an evaluation goes on with those that are there. The root group of results.zarr holds the
    measures with augmentation on, the group `augmentation_off` those without; dims method and
    spectrum (select with `sel({"method": "dae"})`: xarray takes `sel(method=…)` for its own
    argument). The summary holds `augmentation` ("on"), `split`, `bins`, `snr_9_11` and, as
    `augmentation_off`, the same without; fractions. `floor` and `floor_thread` are the information
    limit of the first `evaluate.limit_spectra`, NaN for the others and where the rows cannot be
    made again here. So are the methods `template` on the first `evaluate.template_spectra`, and
    `fit` and `polished` on the first `evaluate.fit_spectra`, whose three starts the summary
    compares as `fit`. The methods `rest` and `template` are absent where the rows cannot be made
    again. Of a network that tells errors, the group and the summary's `trust` hold what is true of
    them and of its verdicts. Raises InputError where the run or the dataset is not there or not
    usable.
    """
    begin, begin_cpu = time.monotonic(), time.process_time()
    trained = load_trained(run_directory, section)
    if section is not None and section != trained.config.evaluate:
        trained = judged_by(trained, section)
        runs.write_config(trained.directory, trained.config)
    section, options = trained.config.evaluate, trained.config.storage.options
    place = trained.dataset if dataset is None else Location.of(dataset, options)
    judged_on = dataset_identity(place, ("train", section.split))
    learnt_from = judged_on if section.split == "validation" else dataset_identity(place)
    if dataset is None and learnt_from != trained.manifest.dataset.fingerprint:
        raise InputError(
            f"{place} is not the dataset any more that {trained.directory} was trained on; train "
            "on it first, or give a dataset to judge the run on"
        )
    for split in ("train", section.split):
        found = open_split(place, split).sizes["wavelength"]
        if found != trained.pixels:
            raise InputError(
                f"{place} holds spectra of {found} pixels, the network of {trained.directory} is "
                f"for {trained.pixels}; give a dataset of these"
            )
    identity = evaluation_fingerprint(
        trained.manifest.fingerprint, trained.checkpoint, judged_on, section
    )
    if (known := _known(trained, identity)) is not None:
        return known
    made_with = fingerprint(identity, PARTS_VERSION, TRUST_VERSION, arithmetic(), torch.__version__)
    making = Making(trained, place, made_with, spread, progress)
    learnt = making(LEARN)[LEARN]
    if at_rest_in(learnt) is None:
        making.without(TEMPLATE)
    made = making(JUDGE, FLOOR, TEMPLATE, FIT, TRY)
    names = list(methods_of(trained, learnt))
    on, off = (
        measures_of(trained, names, under(f"{word}_", made[JUDGE]), making.labels, word).assign(
            limits
        )
        for word, limits in _limits(made.get(FLOOR), making.rows[JUDGE]).items()
    )
    on, fits = _with_fits(_with_templates(on, made.get(TEMPLATE)), made.get(FIT))
    trust, beside = _trust(making, made.get(TRY), on)
    examples = make_examples(
        trained.model,
        augmenter_of(trained, section.split),
        making.labels,
        example_rows(on, section.example_snr, _EXAMPLES),
        section.flux_floor,
    )
    if beside:
        examples = with_errors(examples, trained, trust)
    evaluation = Evaluation(
        fingerprint=identity,
        checkpoint=trained.checkpoint,
        dataset=judged_on,
        split=section.split,
        spectra=making.rows[JUDGE],
        seconds=time.monotonic() - begin + making.seconds_before,
        cpu_seconds=time.process_time() - begin_cpu + making.cpu_seconds_beside,
        bottleneck=int(trained.model.bottleneck),  # type: ignore[arg-type]
        wiener_rank=section.wiener_rank,
        summary=_summary(on)
        | fits
        | beside
        | {"parameters": summarise_parameters(on), "augmentation_off": _summary(off)},
        provenance=provenance(),
    )
    if (known := _known(trained, identity)) is None:  # no other evaluation was quicker
        write_results(trained.directory, Results(on, off, examples, trust, evaluation))
    making.parts.clear()
    return known or evaluation.summary


def _known(trained: Trained, identity: str) -> dict[str, Any] | None:
    """Return the summary where the run was judged so already."""
    with suppress(InputError):  # not evaluated yet, or damaged: evaluated now
        known = read_results(trained.directory).evaluation
        if known.fingerprint == identity:
            return known.summary
    return None


def _limits(found: Arrays | None, rows: int) -> dict[str, dict[str, Any]]:
    """Return the information limit of the first rows, with augmentation on and off."""
    if found and (reason := said(found)):
        log.warning("no comparison with the information limit: %s", reason)
        found = None
    attrs = {"units": "1", "long_name": "information limit of the mean absolute relative error"}
    unknown = np.empty(0)
    return {
        word: {
            name: ("spectrum", padded(found[f"{word}_{what}"] if found else unknown, rows), attrs)
            for name, what in (("floor", "whole"), ("floor_thread", "thread"))
        }
        for word in ("on", "off")
    }


def _with_templates(on: xr.Dataset, found: Arrays | None) -> xr.Dataset:
    """Return the results with those of the best template of the first rows."""
    if found is None:
        return on
    measures = {name: array for name, array in found.items() if not name.endswith(SUM)}
    made = Measures(**measures)
    cpu_ms = 1e3 * float(found[f"seconds{SUM}"]) / len(made.mean_error)
    return with_methods(on, {"template": (made, cpu_ms)})


def _with_fits(on: xr.Dataset, found: Arrays | None) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the results with those of fits of the first rows, and what is told of these."""
    if found is None:
        return on, {}
    if reason := said(found):
        log.warning("no fits: %s", reason)
        return on, {}
    fits, rows = Fits(found), on.sizes["spectrum"]
    wider = with_methods(on, fits.judged)
    for name in ("evaluations", "objective"):
        values = np.stack([padded(one, rows) for one in fits.by_start(name)])
        wider[f"fit_{name}"] = (("start", "spectrum"), values, {"units": "1"})
    wider = wider.assign_coords(start=np.array(fits.starts, dtype=object))
    return wider, {"fit": {"spectra": len(fits), "starts": fits.table}}


def _trust(
    making: Making, tries: Arrays | None, on: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return what is true of the network's errors and verdicts, and what is told of it."""
    if ERRORS not in making.rows:
        return xr.Dataset(), {}
    reason = said(tries) if tries else None
    if tries and not reason:
        keep_trust(making.trained, Tried(**tries))
    made = making(ERRORS, STRANGERS) if not reason else {}
    strange = made.get(STRANGERS, {})
    if reason := reason or said(strange):
        log.warning("errors and verdicts are not judged: %s", reason)
        return xr.Dataset(), {}
    trust = judge_trust(made[ERRORS], strange, Trust.of(trust_of(making.trained)))
    return trust, {"trust": summarise_trust(trust, on["snr"].values)}


def _summary(results: xr.Dataset) -> dict[str, Any]:
    attrs = {key: results.attrs[key] for key in ("augmentation", "split", "pixels")}
    return attrs | summarise_bins(results)
