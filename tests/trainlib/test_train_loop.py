"""What a training comes to is what a plain loop of a few lines computes, whatever the ranks are.

Of the loop's own making are the order of things, the rates, the shares of the ranks, the means: all
that is written once more here. The noise, the networks and the order of an epoch have tests of
their own.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr

from simlib.rng import Purpose, Split
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import (
    SMALL,
    Clock,
    cosine,
    prepare,
    told_alike,
    toy_config,
    train_here,
    train_together,
    watched,
)
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.models import basis_rank, build_model, training_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.log import read_log
from trainlib.training.normals import epoch_order

# Batches of 12 leave one row: of 3 ranks two have none. More are held out than are judged at once.
ROWS, HELD_OUT = 49, 300
HOURGLASS = {"kind": "hourglass", "widths": [128, 16], "input": "standardized",
             "output": "linear", "skip": "none"}  # fmt: skip
ROUGH = {"scale_sigma": 0.1, "offset_sigma": 0.05, "calibration_max": 0.1}
CASES = {
    "sgd, cosine": (HOURGLASS, ROUGH, {
        "optimizer": "sgd", "lr": 0.3, "momentum": 0.6, "schedule": "cosine", "warmup": 0.3,
        "final": 0.2, "interval": 2, "epochs": 5, "validation_spectra": 290,
    }),
    "sgd, plateau": (HOURGLASS, ROUGH, {
        "optimizer": "sgd", "lr": 0.3, "schedule": "plateau", "factor": 0.3, "patience": 1,
        "threshold": 0.3, "cooldown": 1, "interval": 1, "epochs": 7,
    }),
    "adamw, plateau": (SMALL, ROUGH | {"target": "original"}, {
        "optimizer": "adamw", "lr": 0.02, "betas": [0.7, 0.8], "weight_decay": 0.5,
        "schedule": "plateau", "factor": 0.3, "patience": 1, "threshold": 0.3, "epochs": 6,
    }),
    "adamw, constant": (SMALL, {"calibration": "none"}, {
        "optimizer": "adamw", "lr": 0.003, "schedule": "constant", "epochs": 2,
    }),
}  # fmt: skip
RANKS = {"sgd, cosine": 3, "sgd, plateau": 2}  # AdamW would hide a factor
BUDGET = {"epochs": 1000, "seconds": 24.0, "interval": 2}


class Outcome(NamedTuple):
    """Weights by name, and (loss, validation loss, rate) of every interval."""

    weights: dict[str, torch.Tensor]
    curve: list[tuple[float, float, float]]


def config_of(case: str, root, ranks: int = 1) -> TrainingConfig:
    model, augment, train = CASES[case]
    config = toy_config(root, model, batch_size=12, ranks=ranks, seed=4, **train)
    tables = config.model_dump(exclude_none=True)
    return TrainingConfig.model_validate(tables | {"augment": augment})


def split_of(store: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    spectra = xr.open_zarr(store, group=name, consolidated=False)
    flux, variance = spectra["flux"].values, spectra["variance"].values
    return torch.from_numpy(flux), torch.from_numpy(variance).sqrt()


def computed_plainly(config: TrainingConfig, store: str) -> Outcome:
    train, augment = config.train, config.augment
    flux, sigma = split_of(store, "train")
    flux_held, sigma_held = (part[: train.validation_spectra] for part in
                             split_of(store, "validation"))  # fmt: skip
    pixels = flux.shape[1]
    training = Augmenter(augment, pixels, train.seed, Split.train, Purpose.training_noise)
    judging = Augmenter(augment, pixels, train.seed, Split.validation, Purpose.evaluation_noise)
    noiseless, _ = training.target(flux, 0, 0)
    statistics = training_statistics(noiseless, sigma, basis_rank(config.model), train.seed)
    torch.manual_seed(train.seed)
    model = build_model(config.model, statistics)
    if train.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=train.lr, momentum=train.momentum)
    else:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=train.lr, betas=train.betas, weight_decay=train.weight_decay
        )
    if train.schedule == "plateau":
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=train.factor, patience=train.patience, threshold=train.threshold,
            cooldown=train.cooldown,
        )  # fmt: skip

    def errors(batch):
        return (model(batch.noisy, batch.variance) - batch.target).square().mean(dim=1).sqrt()

    step, steps, seen, curve = 0, train.epochs * math.ceil(ROWS / train.batch_size), [], []
    for epoch in range(train.epochs):
        order = epoch_order(train.seed, epoch, ROWS)
        for first in range(0, ROWS, train.batch_size):
            rows = order[first : first + train.batch_size]
            if train.schedule == "cosine":
                rate = train.lr * cosine(step / steps, train.warmup, train.final)
                optimizer.param_groups[0]["lr"] = rate
            rate = optimizer.param_groups[0]["lr"]
            loss = errors(training(flux[rows], sigma[rows], epoch, first))
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            step += 1
            seen += loss.tolist()
        if (epoch + 1) % train.interval and epoch + 1 < train.epochs:
            continue
        with torch.no_grad():
            judged = float(errors(judging(flux_held, sigma_held, 0, 0)).mean())
        curve.append((float(np.mean(seen)), judged, rate))
        seen = []
        if train.schedule == "plateau":
            plateau.step(judged)
    return Outcome(model.state_dict(), curve)


def outcome_of(directory) -> Outcome:
    saved, _ = load_checkpoint(directory / runs.CHECKPOINT, torch.device("cpu"))
    log = read_log(directory)
    curve = [(entry["loss"], entry["validation_loss"], entry["lr"]) for entry in log]
    return Outcome(saved["model"], curve)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"), train=ROWS, validation=HELD_OUT)


@pytest.fixture(scope="module")
def together(toy, tmp_path_factory):
    """Return the runs of several ranks."""
    root = tmp_path_factory.mktemp("together")
    configs = {case: config_of(case, root, ranks) for case, ranks in RANKS.items()}
    configs["budget"] = toy_config(root, batch_size=12, ranks=2, **BUDGET)
    prepared = {case: prepare(config, toy, root / case) for case, config in configs.items()}
    train_together(*prepared.values())
    return prepared


def check(run, config, store) -> None:
    found, expected = outcome_of(run), computed_plainly(config, store)
    assert np.allclose(found.curve, expected.curve, rtol=1e-3, atol=0)
    assert found.weights.keys() == expected.weights.keys()
    for name, weights in expected.weights.items():
        assert torch.allclose(found.weights[name], weights, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_what_a_plain_loop_computes(case, toy, tmp_path):
    config = config_of(case, tmp_path)
    check(train_here(config, toy, tmp_path / "run"), config, toy)


@pytest.mark.parametrize("case", RANKS)
def test_a_run_of_several_ranks_is_what_a_plain_loop_computes(case, together, toy, tmp_path):
    check(together[case], config_of(case, tmp_path), toy)


def test_a_budget_of_time_is_told_by_the_clock_of_the_first_rank(
    together, toy, tmp_path, monkeypatch
):
    with Clock() as clock:
        monkeypatch.setattr("trainlib.training.train.time", clock)
        alone = train_here(toy_config(tmp_path, batch_size=12, **BUDGET), toy, tmp_path / "alone")
    found, expected = told_alike(together["budget"]), told_alike(alone)
    assert [entry["seconds"] for entry in found] == [10.0, 20.0, 25.0]  # a step of 12 rows takes 1
    for one, other in zip(found, expected, strict=True):
        assert one.pop("cpu_seconds") == 3 * other.pop("cpu_seconds")  # rank 1 takes twice as long
        assert one == pytest.approx(other, rel=1e-4)


def test_each_epoch_is_the_whole_split_in_another_order_under_noise_nobody_saw_before(
    toy, tmp_path
):
    plain = {"calibration": "none", "scale_sigma": 0.0, "offset_sigma": 0.0}
    tables = toy_config(tmp_path, batch_size=12, epochs=3).model_dump(exclude_none=True)
    config = TrainingConfig.model_validate(tables | {"augment": plain})
    with watched() as seen:
        train_here(config, toy, tmp_path / "run")
    assert [len(batch.target) for batch in seen.trained] == 3 * [12, 12, 12, 12, 1]
    flux, sigma = split_of(toy, "train")
    places = []
    for batches in (seen.trained[:5], seen.trained[5:10], seen.trained[10:]):
        targets = torch.cat([batch.target for batch in batches])
        places.append([int((flux == row).all(dim=1).nonzero()) for row in targets])
        variance = torch.cat([batch.variance for batch in batches])
        assert torch.allclose(variance, sigma[places[-1]] ** 2, rtol=1e-5)
        assert sorted(places[-1]) == list(range(ROWS))
    assert places[0] != places[1] != places[2] != places[0]

    held_out = [torch.cat([batch.target for batch in batches]) for batches in seen.validated]
    assert all(torch.equal(found, split_of(toy, "validation")[0]) for found in held_out)
    noisy = [torch.cat([batch.noisy for batch in batches]) for batches in seen.validated]
    assert len(noisy) == 3 and all(torch.equal(noisy[0], later) for later in noisy)
    noise = torch.cat([
        (batch.noisy - batch.target) / batch.variance.sqrt()
        for batch in [*seen.trained, *seen.validated[0]]
    ])  # fmt: skip
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
    alike = torch.corrcoef(noise) - torch.eye(len(noise))
    assert float(alike.abs().max()) < 0.5
