"""Two judged runs on the toy that differ in every figure a page shows of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from simlib.artifact import write_record
from simlib.location import Location
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import SMALL, toy_config, train_here
from trainlib import runs
from trainlib.config import Augment, Evaluate, WalkAugment
from trainlib.evaluation import report
from trainlib.evaluation.ablation import ABLATION, Ablated, Ablation
from trainlib.evaluation.binned import summarise_parameters
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.generalisation import OnSpectra
from trainlib.evaluation.gradients import FirstLayer
from trainlib.evaluation.metrics import summarise_bins
from trainlib.evaluation.results import read_results, write_results
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint

# Wide enough that some pixels lie beyond 1 and some below the floor.
AUGMENT: Augment = WalkAugment(scale_sigma=0.1, offset_sigma=0.2)
# More rows than are judged at a time; rank, floor and width are none of the defaults.
WELL = Evaluate(
    seed=7, smoothing_sigma=1.5, wiener_rank=20, flux_floor=0.6, example_snr=23.0, spectra=330
)
BADLY = Evaluate(
    seed=8, smoothing_sigma=2.5, wiener_rank=24, flux_floor=0.7, example_snr=33.0, spectra=310
)


LIMITED = 250  # spectra, not all


def trained_run(folder: Path, rows: int, model: dict[str, int], **train: float) -> Path:
    """Train on a toy of its own and return the run, whose durations are made up but told apart."""
    folder.mkdir()
    url = write_toy(folder, train=rows, validation=340)
    torch.manual_seed(0)
    config = toy_config(folder, SMALL | model, **train).model_copy(update={"augment": AUGMENT})
    run = train_here(config, url, folder / f"of-{folder.name}")
    parts, _ = load_checkpoint(run / runs.CHECKPOINT, torch.device("cpu"))
    parts["state"] |= {"seconds": 1000.0 + rows, "cpu_seconds": 2000.0 + rows}
    save_checkpoint(run / runs.CHECKPOINT, parts)
    return run


def judged_run(run: Path, section: Evaluate) -> Path:
    """Judge a run, and make up how long that took, and limits for some of the spectra."""
    evaluate(run, section=section)
    found = read_results(run)
    on, off = with_limits(found.on, section.seed), with_limits(found.off, section.seed + 100)
    told = found.evaluation.summary | summarise_bins(on)
    told["parameters"] = summarise_parameters(on)
    told["augmentation_off"] |= summarise_bins(off)
    took = {"seconds": 3000.0 + section.seed, "cpu_seconds": 4000.0 + section.seed,
            "summary": told}  # fmt: skip
    write_results(run, replace(found, on=on, off=off,
                               evaluation=found.evaluation.model_copy(update=took)))  # fmt: skip
    return run


def with_limits(results: xr.Dataset, seed: int) -> xr.Dataset:
    """Return results whose first spectra have an information limit."""
    limits = np.random.default_rng(seed).uniform(0.002, 0.02, (2, results.sizes["spectrum"]))
    limits[:, LIMITED:] = np.nan
    return results.assign(floor=("spectrum", limits[0]), floor_thread=("spectrum", limits[1]))


def judged_well(folder: Path) -> Path:
    """Return a run whose network wins almost everywhere."""
    run = trained_run(folder / "well", 192, {"rank": 16}, epochs=12, lr=3e-3)
    return judged_run(run, WELL)


def judged_badly(folder: Path) -> Path:
    """Return a run of one epoch, whose network loses somewhere."""
    run = trained_run(
        folder / "badly", 180, {"rank": 6, "hidden": 12, "blocks": 2}, epochs=2, lr=7e-4,
        batch_size=60, seed=5, seconds=900.0,
    )  # fmt: skip
    return judged_run(run, BADLY)


def with_fits(run: Path) -> Path:
    """Make up what three fits of each spectrum took, none as another."""
    wrong = {"cold": 0.04, "dae": 0.01, "truth": 0.02}
    starts: dict[str, dict[str, Any]] = {
        name: {"evaluations": 9.25 - number, "ms": 8.4 - 2.1 * number, "wrong": share,
               "wrong_95": [0.6 * share, 1.7 * share], "not_converged": 0.001 * number}
        for number, (name, share) in enumerate(wrong.items())
    }  # fmt: skip
    starts["cold"] |= {"templates": 1205, "grid_ms": 3.7}
    starts["dae"] |= {"network_ms": 0.6, "accepted": 0.9876}
    found = read_results(run)
    summary = found.evaluation.summary | {"fit": {"spectra": 55, "starts": starts}}
    evaluation = found.evaluation.model_copy(update={"summary": summary})
    write_results(run, replace(found, evaluation=evaluation))
    return run


def with_ablation(run: Path) -> Path:
    """Make up what variants of a run came to: one not trained, one cut off, one half tested."""
    dice = np.random.default_rng(11)
    kinds = ("as trained", "withheld cells", "withheld threads")

    def test(kind: str) -> OnSpectra:
        error, floor, scatter, bias, worst, noisy = dice.uniform(0.001, 0.009, 6).tolist()
        low, middle, high = np.sort(dice.uniform(2, 60, 3)).tolist()
        return OnSpectra(
            identity="0" * 16, name=kind, text=f"on {kind}", spectra=int(dice.integers(100, 999)),
            snr=(low, middle, high), noisy=30 * noisy, error=error, bias=bias - 0.005,
            worst=30 * worst, floor=floor, eta=error / floor, eta_error=10 * scatter,
        )  # fmt: skip

    def row(name: str, *tests: OnSpectra, **told: Any) -> Ablated:
        numbers = {"epochs": int(dice.integers(2, 99)), "samples": int(dice.integers(1e4, 1e6)),
                   "cpu_seconds": float(dice.uniform(10, 99))}  # fmt: skip
        return Ablated(name=name, text=f"as {name}", tests=tests, **numbers | told)

    layer = FirstLayer(untrained=3.25e-6, trained=4.5e-9, paper=1.5e-7, rate=75.0)
    other = FirstLayer(untrained=8e-5, trained=2.5e-5, paper=6.5e-5, rate=0.5)
    dark = OnSpectra(identity="", name=kinds[1], text=f"on {kinds[1]}", reason="too dark")
    rows = (
        row("as configured", *map(test, kinds)),
        row("mae", *map(test, kinds), first_layer=other),
        row("without cells", reason="no <room>"),
        row("without threads", test(kinds[0]), dark, test(kinds[2])),
        row("recipe A", test(kinds[0]), first_layer=layer),
    )
    write_record(Location.of(run) / ABLATION, Ablation(minutes=7.5, spectra=9, rows=rows))
    return run


def page_without_figures(*given: Any) -> Any:
    """Write a page as `write_report` does, but draw nothing: most of its time goes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw", lambda shown, folder: {})
        return report.write_report(*given)
