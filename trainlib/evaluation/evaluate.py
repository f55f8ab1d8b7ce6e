"""Judge a trained network and the baselines on the same spectra, with and without augmentation."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.rng import Purpose, Split
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation.baselines import principal_components, project, smooth, wiener
from trainlib.evaluation.metrics import MEASURES, floored_pixels, measure, summarise_bins
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.models import training_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.data import Spectra, open_split, read_spectra

log = logging.getLogger(__name__)

Method = Callable[[Tensor, Tensor], Tensor]  # flux_noisy, variance -> flux_denoised
METHODS = ("none", "smoothing", "pca", "wiener", "dae")
_BATCH = 256
_LIBRARY_ROWS = 16384  # training spectra that the linear baselines learn from, at most
_CPU = torch.device("cpu")
_LABELS = ("snr", "teff", "logg", "feh", "alpha", "redshift", "magnitude")


def evaluate(
    run_directory: str | Path,
    dataset_url: str | None = None,
    *,
    section: Evaluate | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `results.zarr` of a run and return its summary; judged so already, only return it.

    dataset_url: None for the dataset the run was trained on. section: how to judge, kept in the
    run's config; None for what stands there. options: to fsspec. The root group of
    results.zarr holds the measures with augmentation on, the group `augmentation_off` those
    without; dims method and spectrum (select with `sel({"method": "dae"})`: xarray takes
    `sel(method=…)` for its own argument). The summary holds `augmentation` ("on"), `split`, `bins`,
    `snr_9_11` and, as `augmentation_off`, the same without; fractions. In it `floor`,
    `floor_thread` and `eta` are None and methods not built yet are absent.
    Raises InputError where the run or the dataset is not there.
    """
    directory = Path(run_directory)
    config, manifest = runs.read_config(directory), runs.read_manifest(directory)
    if section is not None and section != config.evaluate:
        runs.write_config(directory, config.model_copy(update={"evaluate": section}))
    section = section or config.evaluate
    url = dataset_url or manifest["dataset"]["url"]
    store = directory / "results.zarr"
    identity = fingerprint(manifest["fingerprint"], manifest.get("steps"), url, section)
    if manifest.get("evaluation", {}).get("fingerprint") == identity and store.is_dir():
        known: dict[str, Any] = manifest["summary"]
        return known
    begin, begin_cpu = time.monotonic(), time.process_time()
    trained = load_trained(directory)
    labels = open_split(url, section.split, options)
    rows = min(labels.sizes["spectrum"], section.spectra or labels.sizes["spectrum"])
    spectra = read_spectra(labels, 0, rows, _CPU)
    methods = make_methods(trained, url, options)
    log.info("%d %s spectra, %d methods, set up in %.1f s",
             rows, section.split, len(methods), time.monotonic() - begin)  # fmt: skip

    beside = store.with_name(".results.zarr")
    shutil.rmtree(beside, ignore_errors=True)
    summary: dict[str, Any] = {}
    for is_on in (True, False):
        judged = judge(trained, methods, spectra, is_on=is_on)
        for name in _LABELS:
            judged[name] = ("spectrum", labels[name][:rows].values.astype(np.float32))
        group = None if is_on else "augmentation_off"
        judged.attrs = judged.attrs | {
            "fingerprint": trained.manifest["fingerprint"],
            "split": section.split,
        }
        judged.to_zarr(beside, group=group, mode="a", consolidated=False)
        part: dict[str, Any] = {"augmentation": "on" if is_on else "off", "split": section.split}
        part |= summarise_bins(judged) | {"pixels": dict(judged.attrs["pixels"])}
        summary = part if is_on else summary | {"augmentation_off": part}
    shutil.rmtree(store, ignore_errors=True)
    beside.rename(store)
    runs.write_manifest(
        trained.directory,
        evaluation={
            "fingerprint": identity,
            "split": section.split,
            "spectra": rows,
            "seconds": time.monotonic() - begin,
            "cpu_seconds": time.process_time() - begin_cpu,
            "bottleneck": trained.model.bottleneck,
            "wiener_rank": section.wiener_rank,
        },
        summary=summary,
    )
    return summary


def make_methods(trained: Trained, url: str, options: dict[str, Any] | None) -> dict[str, Method]:
    """Return the methods by name, the linear ones made from the run's training spectra."""
    config, model = trained.config, trained.model
    library = open_split(url, "train", options)
    used = min(library.sizes["spectrum"], _LIBRARY_ROWS)
    clean = read_spectra(library, 0, used, _CPU)
    target = augmenter_of(trained, "train", is_on=True).target(clean.flux, 0, 0)[0]
    components = principal_components(target, int(model.bottleneck))  # type: ignore[arg-type]
    rank = min(config.evaluate.wiener_rank, *target.shape)
    statistics = training_statistics(target, clean.sigma, rank, seed=0)
    return {
        "none": lambda noisy, variance: noisy,
        "smoothing": lambda noisy, variance: smooth(noisy, config.evaluate.smoothing_sigma),
        "pca": lambda noisy, variance: project(noisy, components),
        "wiener": lambda noisy, variance: wiener(noisy, variance, statistics),
        "dae": model,
    }


def augmenter_of(trained: Trained, split: str, *, is_on: bool) -> Augmenter:
    """Return the frozen augmentation of an evaluation."""
    pixels = len(trained.model.mean)  # type: ignore[arg-type]
    seed = trained.config.evaluate.seed
    return Augmenter(
        trained.config.augment, pixels, seed, Split[split], Purpose.evaluation_noise, is_on
    )


def judge(
    trained: Trained, methods: dict[str, Method], spectra: Spectra, *, is_on: bool
) -> xr.Dataset:
    """Return the measures, dims (method, spectrum), of every method on the same noisy spectra."""
    section = trained.config.evaluate
    augmenter = augmenter_of(trained, section.split, is_on=is_on)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
    pixels = {"total": 0, "below_floor": 0, "beyond_one": 0}
    with torch.inference_mode():
        for first in range(0, len(spectra), _BATCH):
            some = slice(first, first + _BATCH)
            batch = augmenter(spectra.flux[some], spectra.sigma[some], 0, first)
            pixels["total"] += batch.target.numel()
            pixels["below_floor"] += floored_pixels(batch.target, section.flux_floor)
            pixels["beyond_one"] += int((batch.target > 1.0).sum())
            judged = [
                measure(method(batch.noisy, batch.variance), batch.target, section.flux_floor)
                for method in methods.values()
            ]
            for name in MEASURES:
                parts[name].append(np.stack([getattr(one, name) for one in judged]))
    results = xr.Dataset(
        {name: (("method", "spectrum"), np.concatenate(parts[name], axis=1)) for name in MEASURES},
        coords={"method": np.array(list(methods), dtype=object)},
        attrs={
            "augmentation": "on" if is_on else "off",
            "flux_floor": section.flux_floor,
            "pixels": pixels,
        },
    )
    for name in MEASURES:
        results[name].attrs["units"] = "1" if "relative" in name else "normalised flux"
    return results


def read_results(run_directory: str | Path) -> xr.Dataset:
    """Return the measures with augmentation on; InputError before an evaluation."""
    path = Path(run_directory) / "results.zarr"
    if not path.is_dir():
        raise InputError(f"{run_directory} is not evaluated; run `specdenoise evaluate` first")
    results: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    return results
