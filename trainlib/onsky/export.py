"""Make a bundle of a run: its network, the pixels and the scale that it learnt, what it is from."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import save

from simlib.artifact import encoded, publishing, write_bytes, write_record
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import Recipe, recipe_of
from simlib.errors import InputError
from simlib.fingerprint import digest, fingerprint, plain
from simlib.instrument import Instrument
from simlib.location import Location, Place
from simlib.provenance import provenance
from simlib.simulation.simulate import terms_at
from simlib.units import FWHM_PER_SIGMA
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.evaluation.trust import trust_of
from trainlib.models.restframe import RestFrameNetwork
from trainlib.onsky.bundle import (
    ARRAYS,
    CARD,
    LSF,
    MANIFEST,
    WAVELENGTH,
    BundleManifest,
    open_bundle,
)
from trainlib.onsky.card import LICENCE, model_card, results_told
from trainlib.onsky.simulator import described_simulator
from trainlib.trust.model import TRUST, TrustRecord

AGREEMENT = 1e-5  # of normalised flux, between the bundle and the network as torch computes it
_RANGES = ("teff", "logg", "feh", "alpha", "redshift", "ebv", "magnitude")
_PROBES = 32  # spectra that the two are compared on


def export(run: Place, bundle: Place) -> Location:
    """Write the bundle of a finished run into a new folder, and return where it is.

    What was written is opened, and compared with the run's network, before it is there. Raises
    InputError for a run that is not finished or finds no redshifts, and where something is there.
    """
    trained, place = load_trained(run), Location.of(bundle)
    if trained.manifest.outcome is None:
        raise InputError(f"{trained.directory} is not finished; train on, then export it")
    if not isinstance(trained.model, RestFrameNetwork):
        raise InputError(
            f"{trained.directory} is of recipe {trained.manifest.recipe}, whose network finds no "
            "redshifts and knows no masks; train with train.recipe = 'C' and export that run"
        )
    if place.exists():
        raise InputError(f"{place} exists; choose another place, or remove it")
    folder, dataset = published_dataset(trained.dataset)
    recipe, _ = recipe_of(folder, dataset)
    spectra = open_dataset(folder, "validation")
    wavelength = spectra["wavelength"].values.astype(np.float64)
    results = _results_of(trained)
    card = model_card(trained, wavelength, results)
    normalize, stellar = recipe.config.normalize, recipe.config.stellar
    lsf_sigma = _lsf_sigma(recipe)
    described = {
        "model": plain(trained.config.model),
        "window_nm": normalize.window_nm,
        "median": normalize.median,
        "resolution": float(np.median(wavelength / (FWHM_PER_SIGMA * lsf_sigma))),
        "ranges": {name: tuple(getattr(stellar, name)) for name in _RANGES},
        "lineage": _lineage(trained, dataset.stellar_grid),
        "licence": LICENCE,
        "results": results,
        "simulator": described_simulator(recipe.config, trained.config.augment, recipe.grid),
    }
    trust, probes = trust_of(trained), _noisy(spectra)
    beside = {WAVELENGTH: wavelength, LSF: lsf_sigma}
    write_bundle(place, trained.model, beside, described, card, trust, probes)
    return place


def write_bundle(
    place: Location,
    network: RestFrameNetwork,
    beside: Mapping[str, np.ndarray],
    described: Mapping[str, Any],
    card: str,
    trust: TrustRecord,
    probes: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write a bundle, once it opens and makes of probes what the network makes of them.

    beside: arrays that stand beside the network's, wavelengths and widths of lines. described: what
    the manifest says beside digests and provenance. trust: of the network. probes: normalised noisy
    flux and variance (rows, pixels). Raises InputError where something is there.
    """
    arrays = {name: np.ascontiguousarray(v.numpy()) for name, v in network.state_dict().items()}
    data = save(arrays | dict(beside))
    files = {ARRAYS: data, TRUST: encoded(trust), CARD: card.encode()}
    manifest = BundleManifest(
        fingerprint=fingerprint(
            [described[name] for name in ("model", "window_nm", "median")],
            digest(data),
            digest(files[TRUST]),
        ),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        provenance=provenance(),
        **described,
    )
    with publishing(place) as folder:
        folder.path.mkdir()
        for name, content in files.items():
            write_bytes(folder / name, content)
        write_record(folder / MANIFEST, manifest)
        _compare(network, folder, probes)


def _results_of(trained: Trained) -> dict[str, Any] | None:
    """Return what is told of the run's evaluation, None where it was not evaluated as it is."""
    try:
        evaluation = read_results(trained.directory).evaluation
    except InputError:
        return None
    return results_told(evaluation.summary) if evaluation.checkpoint == trained.checkpoint else None


def _lsf_sigma(recipe: Recipe) -> np.ndarray:
    """Return the widths of the simulated lines, the pixel included, (pixels,) nm."""
    terms = recipe.named_terms
    if isinstance(terms, Instrument):
        terms = terms_at(recipe.drawn("train", 0, 1), terms, recipe.config)
    return terms["lsf_sigma"].values.astype(np.float64)


def _lineage(trained: Trained, stellar_grid: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": trained.manifest.fingerprint,
        "checkpoint": trained.checkpoint,
        "recipe": trained.manifest.recipe,
        "dataset": trained.manifest.dataset.fingerprint,
        "samples": trained.state.samples,
        "stellar_grid": stellar_grid,
    }


def _noisy(spectra: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the first spectra of a split, their noise drawn, and its variance."""
    some = spectra[["flux", "variance"]].isel(spectrum=slice(_PROBES)).load()
    flux, variance = some["flux"].values, some["variance"].values
    noise = np.random.default_rng(0).standard_normal(flux.shape, np.float32)
    return flux + np.sqrt(variance) * noise, variance


def _compare(
    network: RestFrameNetwork, folder: Location, probes: tuple[np.ndarray, np.ndarray]
) -> None:
    """Raise AssertionError where the bundle does not make what the network makes."""
    found = open_bundle(folder).network.denoise(*probes)
    with torch.inference_mode():
        expected = network.denoise(*(torch.from_numpy(part) for part in probes))
    spread = network.frame.statistics.stars[1]
    off = {
        "flux": found.flux - expected.flux,
        "error": found.error - expected.error,
        "stars": (found.stars - expected.stars) / spread,
    }
    for name, difference in off.items():
        largest = float(np.max(np.abs(difference)))
        if not largest <= (AGREEMENT if name != "stars" else 10.0 * AGREEMENT):
            raise AssertionError(
                f"the bundle differs from the network it is of by {largest:g} in {name}"
            )
