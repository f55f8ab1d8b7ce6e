"""The methods that are compared: the network, and those that need none, learnt where they learn."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial

import numpy as np
import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.location import Location
from trainlib.evaluation.at_rest import AtRest, at_rest_of, learn_at_rest
from trainlib.evaluation.baselines import (
    Components,
    SavitzkyGolay,
    principal_components,
    project,
    savitzky_golay,
    smooth,
    wiener,
)
from trainlib.evaluation.parts import Arrays, named, under
from trainlib.evaluation.templates import Templates, library_of
from trainlib.evaluation.trained import Trained, augmenter_of
from trainlib.models import training_statistics
from trainlib.models.statistics import Statistics
from trainlib.rest.statistics import statistics_in
from trainlib.training.data import Spectra, is_bare, open_split, read_rows, read_spectra
from trainlib.training.truth import LABELS, Truth, truth_of

log = logging.getLogger(__name__)

Method = Callable[[Tensor, Tensor], Tensor]  # flux_noisy, variance -> flux_denoised
METHODS = ("none", "smoothing", "savgol", "pca", "wiener", "dae")  # of all spectra of any store
_LIBRARY_ROWS = 16384  # training spectra that the baselines learn from, at most
_REST_ROWS, _NOISY_ROWS = 10240, 2048  # of these, at rest and with their noise
_CPU = torch.device("cpu")


def learn_methods(trained: Trained, dataset: Location) -> Arrays:
    """Return what the methods that learn take from the run's training spectra."""
    config, model = trained.config, trained.model
    library, truth = open_split(dataset, "train"), _truth_of(dataset)
    used = min(library.sizes["spectrum"], _LIBRARY_ROWS)
    clean = read_spectra(library, 0, used, _CPU, LABELS if truth else ())
    augmenter = augmenter_of(trained, "train")
    target = augmenter.target(clean.flux, 0, 0)[0]
    components = principal_components(target, int(model.bottleneck))  # type: ignore[arg-type]
    rank = min(config.evaluate.wiener_rank, *target.shape)
    statistics = training_statistics(target, clean.sigma, rank, seed=0)
    few = augmenter(clean.flux[:_NOISY_ROWS], clean.sigma[:_NOISY_ROWS], 0, 0)
    windows = savitzky_golay(few, config.evaluate.flux_floor).windows
    learnt = named("pca_", vars(components)) | named("wiener_", vars(statistics))
    learnt["savgol_windows"] = np.array(windows)
    if truth:
        some = {name: values[:_REST_ROWS] for name, values in clean.labels.items()}
        fewer = Spectra(clean.flux[:_REST_ROWS], clean.sigma[:_REST_ROWS], labels=some)
        at_rest = learn_at_rest(truth, fewer, augmenter, min(rank, len(fewer)))
        learnt |= named("rest_", vars(at_rest))
    return learnt


def methods_of(trained: Trained, learnt: Arrays) -> dict[str, Method]:
    """Return the methods by name; learnt: as `learn_methods` returns it."""
    made = {name: torch.from_numpy(array) for name, array in learnt.items()}
    components = Components(*_given(Components, "pca_", made))
    statistics = Statistics(*_given(Statistics, "wiener_", made))
    at_rest = at_rest_in(learnt)
    return {
        "none": lambda noisy, variance: noisy,
        "smoothing": _without_variance(smooth, trained.config.evaluate.smoothing_sigma),
        "savgol": SavitzkyGolay(tuple(learnt["savgol_windows"].tolist())),
        "pca": _without_variance(project, components),
        "wiener": partial(_wiener, statistics),
        **({"rest": at_rest} if at_rest else {}),
        "dae": trained.model,
    }


def at_rest_in(learnt: Arrays) -> AtRest | None:
    """Return the linear method at rest; None where the truth about the stars is not known."""
    told = under("rest_", learnt)
    return at_rest_of(statistics_in(told)) if told else None


def templates_of(dataset: Location, at_rest: AtRest) -> Templates:
    """Return the first training stars as templates."""
    library = open_split(dataset, "train")
    some = slice(0, min(library.sizes["spectrum"], _LIBRARY_ROWS))
    stars = truth_of(dataset).stars({name: read_rows(library, name, some) for name in LABELS})
    templates = library_of(at_rest, stars)
    log.info("%d templates", len(templates))
    return templates


def _truth_of(dataset: Location) -> Truth | None:
    """Return the truth about a dataset's stars, None where its rows cannot be made again here."""
    if is_bare(dataset):
        return None
    try:
        return truth_of(dataset)
    except InputError as error:
        log.warning("no baselines at rest: %s", error)
        return None


def _given(kind: type, prefix: str, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    return [tensors[f"{prefix}{field.name}"] for field in fields(kind)]


def _without_variance(filtered: Callable[..., Tensor], *given: object) -> Method:
    return lambda noisy, variance: filtered(noisy, *given)


def _wiener(statistics: Statistics, noisy: Tensor, variance: Tensor) -> Tensor:
    return wiener(noisy, variance, statistics)
