"""Judge a trained network and the baselines on the same spectra, with and without augmentation."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.errors import InputError
from simlib.fit.problem import stars_of
from simlib.location import Location, Place
from simlib.provenance import provenance
from simlib.rng import Purpose, Split
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation.at_rest import AtRest, learn_at_rest
from trainlib.evaluation.baselines import (
    principal_components,
    project,
    savitzky_golay,
    smooth,
    wiener,
)
from trainlib.evaluation.binned import summarise_parameters
from trainlib.evaluation.examples import example_rows, make_examples
from trainlib.evaluation.first_rows import padded, with_methods
from trainlib.evaluation.fits import judge_fits, timed
from trainlib.evaluation.floor import Floor, fit_problem, information_floor
from trainlib.evaluation.metrics import (
    MEASURES,
    PERCENTILES,
    SPREADS,
    floored_pixels,
    measure,
    summarise_bins,
)
from trainlib.evaluation.refusal import judge_trust, with_errors
from trainlib.evaluation.results import (
    Evaluation,
    Results,
    evaluation_fingerprint,
    read_results,
    write_results,
)
from trainlib.evaluation.templates import library_of
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.evaluation.trust_numbers import summarise_trust
from trainlib.models import training_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.data import (
    Spectra,
    dataset_identity,
    is_bare,
    open_split,
    read_rows,
    read_spectra,
)
from trainlib.training.truth import LABELS, Truth, truth_of

log = logging.getLogger(__name__)

Method = Callable[[Tensor, Tensor], Tensor]  # flux_noisy, variance -> flux_denoised
METHODS = ("none", "smoothing", "savgol", "pca", "wiener", "dae")  # of all spectra of any store
_BATCH = 256
_LIBRARY_ROWS = 16384  # training spectra that the baselines learn from, at most
_REST_ROWS, _NOISY_ROWS = 10240, 2048  # of these, at rest and with their noise
_CPU = torch.device("cpu")
_LABELS = ("snr", "teff", "logg", "feh", "alpha", "redshift", "magnitude")
_MORE_LABELS = ("interpolated_axis", "ebv", "seeing", "moon_phase")  # a bare store may lack them
_EXAMPLES = 48  # spectra kept for the report


def evaluate(
    run_directory: Place, dataset: Place | None = None, *, section: Evaluate | None = None
) -> dict[str, Any]:
    """Write `results.zarr` of a run and return its summary; judged so already, only return it.

    dataset: None for the one the run was trained on. section: how to judge, kept in the run's
    config; None for what stands there. The root group of results.zarr holds the measures with
    augmentation on, the group `augmentation_off` those without; dims method and spectrum (select
    with `sel({"method": "dae"})`: xarray takes `sel(method=…)` for its own argument). The summary
    holds `augmentation` ("on"), `split`, `bins`, `snr_9_11` and, as `augmentation_off`, the same
    without; fractions. `floor` and `floor_thread` are the information limit of the first
    `evaluate.limit_spectra`, NaN for the others and where the rows cannot be made again here. So
    are the methods `template` on the first `evaluate.template_spectra`, and `fit` and `polished` on
    the first `evaluate.fit_spectra`, whose three starts the summary compares as `fit`. The methods
    `rest` and `template` are absent where the rows cannot be made again. Of a network that tells
    errors, the group and the summary's `trust` hold what is true of them and of its verdicts.
    Raises InputError where the run or the dataset is not there or not usable.
    """
    begin, begin_cpu = time.monotonic(), time.process_time()
    trained = load_trained(run_directory, section)
    if section is not None and section != trained.config.evaluate:
        trained = replace(trained, config=trained.config.model_copy(update={"evaluate": section}))
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
    identity = evaluation_fingerprint(
        trained.manifest.fingerprint, trained.checkpoint, judged_on, section
    )
    with suppress(InputError):  # not evaluated yet, or damaged: evaluated now
        known = read_results(trained.directory).evaluation
        if known.fingerprint == identity:
            return known.summary
    labels = open_split(place, section.split)
    rows = min(labels.sizes["spectrum"], section.spectra or labels.sizes["spectrum"])
    spectra = read_spectra(labels, 0, rows, _CPU)
    methods = make_methods(trained, place)
    log.info("%d %s spectra, %d methods, set up in %.1f s",
             rows, section.split, len(methods), time.monotonic() - begin)  # fmt: skip

    limits = _limits(trained, place, labels, rows)
    on, off = (
        judge(trained, methods, spectra, labels, is_on=is_on).assign(limit)
        for is_on, limit in zip((True, False), limits, strict=True)
    )
    examples = make_examples(
        trained.model,
        augmenter_of(trained, section.split, is_on=True),
        spectra,
        labels,
        example_rows(on, section.example_snr, _EXAMPLES),
        section.flux_floor,
    )
    on = _with_templates(trained, place, methods, spectra, on)
    on, fits = _with_fits(trained, place, spectra, labels, on)
    trust, beside = _trust(trained, spectra, labels, on)
    if beside:
        examples = with_errors(examples, trained, trust)
    evaluation = Evaluation(
        fingerprint=identity,
        checkpoint=trained.checkpoint,
        dataset=judged_on,
        split=section.split,
        spectra=rows,
        seconds=time.monotonic() - begin,
        cpu_seconds=time.process_time() - begin_cpu,
        bottleneck=int(trained.model.bottleneck),  # type: ignore[arg-type]
        wiener_rank=section.wiener_rank,
        summary=_summary(on)
        | fits
        | beside
        | {"parameters": summarise_parameters(on), "augmentation_off": _summary(off)},
        provenance=provenance(),
    )
    write_results(trained.directory, Results(on, off, examples, trust, evaluation))
    return evaluation.summary


def _limits(
    trained: Trained, place: Location, labels: xr.Dataset, rows: int
) -> list[dict[str, Any]]:
    """Return the information limit of the first rows, with augmentation on and off."""
    section, known = trained.config.evaluate, min(rows, trained.config.evaluate.limit_spectra)
    unknown = Floor(np.empty(0), np.empty(0))
    found = (unknown, unknown)
    try:
        if known and not is_bare(place):
            log.info("information limit of %d spectra", known)
            recipe, _ = recipe_of(*published_dataset(place))
            some = labels.isel(spectrum=slice(0, known))
            found = information_floor(some, recipe, trained.config.augment, section.flux_floor)
    except InputError as error:
        log.warning("no comparison with the information limit: %s", error)
    attrs = {"units": "1", "long_name": "information limit of the mean absolute relative error"}
    return [
        {
            name: ("spectrum", padded(values, rows), attrs)
            for name, values in (("floor", one.whole), ("floor_thread", one.thread))
        }
        for one in found
    ]


def _with_templates(
    trained: Trained,
    place: Location,
    methods: dict[str, Method],
    spectra: Spectra,
    on: xr.Dataset,
) -> xr.Dataset:
    """Return the results with those of the best template of the first rows."""
    section, at_rest = trained.config.evaluate, methods.get("rest")
    rows = min(len(spectra), section.template_spectra)
    # a template gives spectra as they are seen
    is_asked = trained.config.augment.target == "augmented" and rows > 0
    if not (is_asked and isinstance(at_rest, AtRest)):
        return on
    library = open_split(place, "train")
    some = slice(0, min(library.sizes["spectrum"], _LIBRARY_ROWS))
    stars = at_rest.truth.stars({name: read_rows(library, name, some) for name in LABELS})
    templates = library_of(at_rest, stars)
    log.info("%d templates for %d spectra", len(templates), rows)
    augmenter = augmenter_of(trained, section.split, is_on=True)
    batch = augmenter(spectra.flux[:rows], spectra.sigma[:rows], 0, 0)
    with torch.inference_mode():
        made, cpu_ms = timed(lambda: templates(batch.noisy, batch.variance), rows)
    return with_methods(on, {"template": (measure(made, batch.target, section.flux_floor), cpu_ms)})


def _with_fits(
    trained: Trained, place: Location, spectra: Spectra, labels: xr.Dataset, on: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the results with those of fits of the first rows, and what is told of these."""
    section = trained.config.evaluate
    rows = min(len(spectra), section.fit_spectra)
    if not rows:
        return on, {}
    try:
        if is_bare(place):
            raise InputError(f"{place} is a store of spectra alone")
        if trained.config.augment.target == "original":
            raise InputError(
                "a fit gives spectra as they are seen, augment.target = 'original' asks for others"
            )
        recipe, _ = recipe_of(*published_dataset(place))
        problem = fit_problem(recipe, trained.config.augment)
    except InputError as error:
        log.warning("no fits: %s", error)
        return on, {}
    log.info("fits of %d spectra", rows)
    augmenter = augmenter_of(trained, section.split, is_on=True)
    batch = augmenter(spectra.flux[:rows], spectra.sigma[:rows], 0, 0)
    truth = stars_of(labels.isel(spectrum=slice(0, rows)))
    fits = judge_fits(problem, trained.model, batch, truth, section.flux_floor)
    wider = with_methods(
        on, {name: (one, fits.cpu_ms[name]) for name, one in fits.measures.items()}
    )
    for name in ("evaluations", "objective"):
        values = np.stack([padded(getattr(f, name), len(spectra)) for f in fits.fitted.values()])
        wider[f"fit_{name}"] = (("start", "spectrum"), values, {"units": "1"})
    wider = wider.assign_coords(start=np.array(list(fits.fitted), dtype=object))
    return wider, {"fit": {"spectra": rows, "starts": fits.table}}


def _trust(
    trained: Trained, spectra: Spectra, labels: xr.Dataset, on: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return what is true of the network's errors and verdicts, and what is told of it."""
    try:
        trust = judge_trust(trained, spectra, labels)
    except InputError as error:
        log.warning("errors and verdicts are not judged: %s", error)
        return xr.Dataset(), {}
    return trust, {"trust": summarise_trust(trust, on["snr"].values)}


def _summary(results: xr.Dataset) -> dict[str, Any]:
    attrs = {key: results.attrs[key] for key in ("augmentation", "split", "pixels")}
    return attrs | summarise_bins(results)


def make_methods(trained: Trained, dataset: Location) -> dict[str, Method]:
    """Return the methods by name, those that learn made from the run's training spectra."""
    config, model = trained.config, trained.model
    library, truth = open_split(dataset, "train"), _truth_of(dataset)
    used = min(library.sizes["spectrum"], _LIBRARY_ROWS)
    clean = read_spectra(library, 0, used, _CPU, LABELS if truth else ())
    augmenter = augmenter_of(trained, "train", is_on=True)
    target = augmenter.target(clean.flux, 0, 0)[0]
    components = principal_components(target, int(model.bottleneck))  # type: ignore[arg-type]
    rank = min(config.evaluate.wiener_rank, *target.shape)
    statistics = training_statistics(target, clean.sigma, rank, seed=0)
    few = augmenter(clean.flux[:_NOISY_ROWS], clean.sigma[:_NOISY_ROWS], 0, 0)
    at_rest: dict[str, Method] = {}
    if truth:
        some = {name: values[:_REST_ROWS] for name, values in clean.labels.items()}
        fewer = Spectra(clean.flux[:_REST_ROWS], clean.sigma[:_REST_ROWS], labels=some)
        at_rest["rest"] = learn_at_rest(truth, fewer, augmenter, min(rank, len(fewer)))
    return {
        "none": lambda noisy, variance: noisy,
        "smoothing": lambda noisy, variance: smooth(noisy, config.evaluate.smoothing_sigma),
        "savgol": savitzky_golay(few, config.evaluate.flux_floor),
        "pca": lambda noisy, variance: project(noisy, components),
        "wiener": lambda noisy, variance: wiener(noisy, variance, statistics),
        **at_rest,
        "dae": model,
    }


def _truth_of(dataset: Location) -> Truth | None:
    """Return the truth about a dataset's stars, None where its rows cannot be made again here."""
    if is_bare(dataset):
        return None
    try:
        return truth_of(dataset)
    except InputError as error:
        log.warning("no baselines at rest: %s", error)
        return None


def augmenter_of(trained: Trained, split: str, *, is_on: bool) -> Augmenter:
    """Return the frozen augmentation of an evaluation."""
    pixels = len(trained.model.noise_shape)  # type: ignore[arg-type]
    seed = trained.config.evaluate.seed
    return Augmenter(
        trained.config.augment, pixels, seed, Split[split], Purpose.evaluation_noise, is_on
    )


def judge(
    trained: Trained,
    methods: dict[str, Method],
    spectra: Spectra,
    labels: xr.Dataset,
    *,
    is_on: bool,
) -> xr.Dataset:
    """Return the measures, dims (method, spectrum), of every method on the same noisy spectra.

    labels: the split that the spectra are the first rows of. Raises InputError where a method
    gives values that are not finite.
    """
    section = trained.config.evaluate
    augmenter = augmenter_of(trained, section.split, is_on=is_on)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*MEASURES, *SPREADS)}
    pixels = {"total": 0, "below_floor": 0, "beyond_one": 0}
    seconds = np.zeros(len(methods))
    with torch.inference_mode():
        for first in range(0, len(spectra), _BATCH):
            some = slice(first, first + _BATCH)
            batch = augmenter(spectra.flux[some], spectra.sigma[some], 0, first)
            pixels["total"] += batch.target.numel()
            pixels["below_floor"] += floored_pixels(batch.target, section.flux_floor)
            pixels["beyond_one"] += int((batch.target > 1.0).sum())
            judged = []
            for number, denoise in enumerate(methods.values()):
                begin = time.process_time()
                denoised = denoise(batch.noisy, batch.variance)
                seconds[number] += time.process_time() - begin
                judged.append(measure(denoised, batch.target, section.flux_floor))
            for name, made in parts.items():
                made.append(np.stack([getattr(one, name) for one in judged]))
    results = xr.Dataset(
        {
            name: (("method", "spectrum", "percentile")[: made[0].ndim], np.concatenate(made, 1))
            for name, made in parts.items()
        }
        | {"cpu_ms": ("method", 1e3 * seconds / len(spectra), {"units": "ms", "per": "spectrum"})},
        coords={
            "method": np.array(list(methods), dtype=object),
            "percentile": np.array(PERCENTILES),
        },
        attrs={
            "augmentation": "on" if is_on else "off",
            "split": section.split,
            "flux_floor": section.flux_floor,
            "pixels": pixels,
            "fingerprint": trained.manifest.fingerprint,
        },
    )
    for name in parts:
        is_ratio = "relative" in name or name == "kl_divergence"
        results[name].attrs["units"] = "1" if is_ratio else "normalised flux"
    for name in MEASURES:
        bad = np.count_nonzero(~np.isfinite(results[name].values), axis=1)
        for method, count in zip(methods, bad, strict=True):
            if count:
                raise InputError(
                    f"{count} of {len(spectra)} spectra that the method {method!r} gives for "
                    f"{trained.directory} are not finite: it cannot be judged; train again"
                )
    for name in (*_LABELS, *(name for name in _MORE_LABELS if name in labels)):
        values = read_rows(labels, name, slice(0, len(spectra)))
        kind = np.int8 if name == "interpolated_axis" else np.float32
        results[name] = ("spectrum", values.astype(kind))
    return results
