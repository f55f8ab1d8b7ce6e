"""One self-contained page about one or more evaluated runs: it opens anywhere, also offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import tomli_w
import torch
import xarray as xr

from simlib.errors import InputError
from simlib.fingerprint import plain
from trainlib import runs
from trainlib.evaluation import figures
from trainlib.evaluation.evaluate import augmenter_of, read_results
from trainlib.evaluation.metrics import divisor
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.training.data import open_split, read_spectra

_JUDGED_BELOW = 40.0  # S/N
_JUDGED_COUNT = 100  # spectra in a bin


@dataclass(frozen=True)
class Example:
    """One spectrum of the report, (pixels,) each, and its labels."""

    wavelength: np.ndarray
    noisy: np.ndarray
    denoised: np.ndarray
    target: np.ndarray
    labels: dict[str, float]


def write_report(
    run_directories: Sequence[str | Path] | str | Path,
    out: str | Path | None = None,
    *,
    options: dict[str, Any] | None = None,
) -> Path:
    """Write the page about evaluated runs and return its path.

    out: None for `report.html` in the first run's directory; figures go to `figures/` beside it.
    options: to fsspec, for the example spectrum. Raises InputError before an evaluation.
    """
    if isinstance(run_directories, str | Path):
        run_directories = [run_directories]
    if not run_directories:
        raise InputError("a report needs at least one run directory")
    trained = [load_trained(directory) for directory in run_directories]
    results = {run.directory.name: read_results(run.directory).load() for run in trained}
    page = Path(out) if out is not None else trained[0].directory / "report.html"
    images, example = _draw(trained, results, page.parent / "figures", options)
    summaries = {run.directory.name: _summary(run) for run in trained}
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(
        (resources.files("trainlib") / "evaluation" / "report.html").read_text(encoding="utf-8")
    )
    html = template.render(
        runs=[_facts(run) for run in trained],
        images=images,
        example=example.labels,
        summaries=summaries,
        names=figures.NAMES,
        first=next(iter(summaries.values())),
        losses={name: defeats(summary) for name, summary in summaries.items()},
        judged_below=_JUDGED_BELOW,
        judged_count=_JUDGED_COUNT,
    )
    runs.write_text(page, html)
    return page


def _draw(
    trained: list[Trained],
    results: dict[str, xr.Dataset],
    folder: Path,
    options: dict[str, Any] | None,
) -> tuple[dict[str, str], Example]:
    example = example_spectrum(trained[0], results[trained[0].directory.name], options)
    logs = {run.directory.name: runs.read_log(run.directory) for run in trained}
    drawn = {
        "example": figures.example_figure(
            example.wavelength, example.noisy, example.denoised, example.target
        ),
        "loss": figures.loss_figure(logs),
        "error": figures.error_figure(results),
        "bias": figures.bias_figure(next(iter(results.values()))),
    }
    images = {
        name: figures.save_and_embed(figure, folder / f"{name}.png")
        for name, figure in drawn.items()
    }
    return images, example


def example_spectrum(
    trained: Trained, results: xr.Dataset, options: dict[str, Any] | None = None
) -> Example:
    """Return the evaluated spectrum whose S/N is nearest to `evaluate.example_snr`."""
    section = trained.config.evaluate
    row = int(np.abs(results["snr"].values - section.example_snr).argmin())
    split = open_split(trained.manifest["dataset"]["url"], section.split, options)
    spectrum = read_spectra(split, row, row + 1, torch.device("cpu"))
    augmenter = augmenter_of(trained, section.split, is_on=True)
    with torch.inference_mode():
        batch = augmenter(spectrum.flux, spectrum.sigma, 0, row)
        denoised = trained.model(batch.noisy, batch.variance)
        relative = (denoised - batch.target) / divisor(batch.target, section.flux_floor)
    names = ("snr", "teff", "logg", "feh", "alpha", "magnitude", "redshift")
    labels = {name: float(results[name][row]) for name in names}
    labels |= {"row": row, "error": float(relative.abs().mean())}
    labels["error_noisy"] = float(results["mean_abs_relative_error"].sel({"method": "none"})[row])
    return Example(
        wavelength=split["wavelength"].values,
        noisy=batch.noisy[0].numpy(),
        denoised=denoised[0].numpy(),
        target=batch.target[0].numpy(),
        labels=labels,
    )


def defeats(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every bin and method with a mean |R| that the network does not undercut."""
    found = []
    for part in summary["bins"]:
        errors = {m: v["mean_abs_relative_error"] for m, v in part["methods"].items()}
        for method, error in errors.items():
            if method != "dae" and part["count"] and errors["dae"] >= error:
                found.append(
                    {"bin": part, "method": method, "error": error, "network": errors["dae"]}
                )
    return found


def _summary(run: Trained) -> dict[str, Any]:
    if "summary" not in run.manifest:
        raise InputError(f"{run.directory} is not evaluated; run `specdenoise evaluate` first")
    summary: dict[str, Any] = run.manifest["summary"]
    return summary


def _facts(run: Trained) -> dict[str, Any]:
    parts = run.config.model_dump(exclude_none=True)
    shown = {name: parts[name] for name in ("model", "augment", "train", "evaluate")}
    return {
        "name": run.directory.name,
        "manifest": run.manifest,
        "config": tomli_w.dumps(plain(shown)),
        "dataset_config": tomli_w.dumps(
            plain({k: v for k, v in parts.items() if k not in shown and k != "storage"})
        ),
        "model": run.config.model,
        "train": run.config.train,
        "evaluate": run.config.evaluate,
        "bottleneck": run.model.bottleneck,
        "log": runs.read_log(run.directory),
    }
