"""One self-contained page about one or more evaluated runs: it opens anywhere, also offline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import tomli_w
import torch

from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.fingerprint import plain
from simlib.location import Location, Place
from trainlib import runs
from trainlib.evaluation import figures
from trainlib.evaluation.evaluate import augmenter_of
from trainlib.evaluation.metrics import divisor
from trainlib.evaluation.page import PAGE, page_identity, template_text
from trainlib.evaluation.page_lineage import PageLineage
from trainlib.evaluation.results import Results, read_results
from trainlib.evaluation.trained import Trained, load_trained
from trainlib.training.data import open_split, read_spectra
from trainlib.training.log import read_log

_JUDGED_BELOW = 40.0  # S/N
_JUDGED_COUNT = 100  # spectra in a bin


@dataclass(frozen=True)
class Shown:
    """A run of the page. name: its directory's, in full where two would be the same."""

    name: str
    trained: Trained
    results: Results


@dataclass(frozen=True)
class Example:
    """One spectrum of the report, (pixels,) each, and its labels."""

    wavelength: np.ndarray
    noisy: np.ndarray
    denoised: np.ndarray
    target: np.ndarray
    labels: dict[str, float]


def write_report(run_directories: Sequence[Place] | Place, out: Place | None = None) -> Place:
    """Write the page about evaluated runs and return its path; a run given twice is shown once.

    out: None for `report.html` in the first run's directory; figures go to `figures/` beside it.
    Raises InputError before an evaluation.
    """
    if isinstance(run_directories, str | Path | Location):
        run_directories = [run_directories]
    if not run_directories:
        raise InputError("a report needs at least one run directory")
    places = {runs.real(Location.of(run)): Location.of(run) for run in run_directories}
    same = Counter(path.name for path in places)
    shown = [
        _show(place, path.name if same[path.name] == 1 else str(path))
        for path, place in places.items()
    ]
    page = shown[0].trained.directory / PAGE if out is None else Location.of(out)
    images, example = _draw(shown, page.parent / "figures")
    shown_results = {run.trained.directory: run.results.evaluation for run in shown}
    summaries = {run.name: run.results.evaluation.summary for run in shown}
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(template_text())
    html = template.render(
        identity=page_identity([run.results.evaluation.fingerprint for run in shown]),
        lineage=PageLineage.of(page, shown_results).model_dump_json(),
        runs=[_facts(run) for run in shown],
        images=images,
        example=example.labels,
        summaries=summaries,
        names=figures.NAMES,
        starts=figures.STARTS,
        first=next(iter(summaries.values())),
        losses={name: defeats(summary) for name, summary in summaries.items()},
        judged_below=_JUDGED_BELOW,
        judged_count=_JUDGED_COUNT,
    )
    write_bytes(page, html.encode())
    return page.path if page.is_local else page


def _show(run: Location, name: str) -> Shown:
    trained, results = load_trained(run), read_results(run)
    if results.evaluation.checkpoint != trained.checkpoint:
        raise InputError(
            f"{run} was trained further since it was judged; run `specdenoise evaluate {run}` again"
        )
    return Shown(name, trained, results)


def _draw(shown: list[Shown], folder: Location) -> tuple[dict[str, str], Example]:
    first = shown[0]
    example = example_spectrum(first.trained, first.results)
    drawn = {
        "example": figures.example_figure(
            example.wavelength, example.noisy, example.denoised, example.target
        ),
        "loss": figures.loss_figure({run.name: read_log(run.trained.directory) for run in shown}),
        "error": figures.error_figure({run.name: run.results.on for run in shown}),
        "bias": figures.bias_figure(first.results.on),
    }
    images = {
        name: figures.save_and_embed(figure, folder / f"{name}.png")
        for name, figure in drawn.items()
    }
    return images, example


def example_spectrum(trained: Trained, results: Results) -> Example:
    """Return the evaluated spectrum whose S/N is nearest to `evaluate.example_snr`."""
    section, labelled = trained.config.evaluate, results.on
    row = int(np.abs(labelled["snr"].values - section.example_snr).argmin())
    split = open_split(trained.dataset, section.split)
    spectrum = read_spectra(split, row, row + 1, torch.device("cpu"))
    augmenter = augmenter_of(trained, section.split, is_on=True)
    with torch.inference_mode():
        batch = augmenter(spectrum.flux, spectrum.sigma, 0, row)
        denoised = trained.model(batch.noisy, batch.variance)
        relative = (denoised - batch.target) / divisor(batch.target, section.flux_floor)
    names = ("snr", "teff", "logg", "feh", "alpha", "magnitude", "redshift")
    labels = {name: float(labelled[name][row]) for name in names}
    labels |= {"row": row, "error": float(relative.abs().mean())}
    labels["error_noisy"] = float(labelled["mean_abs_relative_error"].sel({"method": "none"})[row])
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
        errors = {
            method: told["mean_abs_relative_error"]
            for method, told in part["methods"].items()
            if "count" not in told  # of some of the spectra only: others than the network's mean
        }
        for method, error in errors.items():
            if method != "dae" and part["count"] and errors["dae"] >= error:
                found.append(
                    {"bin": part, "method": method, "error": error, "network": errors["dae"]}
                )
    return found


def _facts(run: Shown) -> dict[str, Any]:
    trained = run.trained
    parts = trained.config.model_dump(exclude_none=True)
    shown = {name: parts[name] for name in ("model", "augment", "train", "evaluate")}
    return {
        "name": run.name,
        "manifest": trained.manifest,
        "state": trained.state,
        "dataset": trained.dataset,
        "evaluation": run.results.evaluation,
        "config": tomli_w.dumps(plain(shown)),
        "dataset_config": tomli_w.dumps(
            plain({k: v for k, v in parts.items() if k not in shown and k != "storage"})
        ),
        "model": trained.config.model,
        "train": trained.config.train,
        "evaluate": trained.config.evaluate,
    }
