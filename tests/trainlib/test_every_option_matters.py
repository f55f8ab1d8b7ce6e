"""Every key of the sections model, augment, train and evaluate is moved, and an output moves.

So does the fingerprint of the run, where the key shapes the network.
"""

import numpy as np
import pytest
import torch

from simlib.config import models_in
from simlib.rng import Purpose, Split
from tests.trainlib.rest import toy_frame
from tests.trainlib.toy_dataset import toy_split, write_toy
from tests.trainlib.training_runs import SMALL, losses, toy_config, train_here
from trainlib import runs
from trainlib.config import MODES, WHILE_TRAINING, Evaluate, TrainingConfig, read_recipe
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.examples import example_rows
from trainlib.evaluation.results import read_results
from trainlib.models import basis_rank, build_model, training_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.log import read_log

HOURGLASS = {
    "kind": "hourglass",
    "widths": [128, 24],
    "input": "standardized",
    "output": "linear",
    "skip": "none",
}
# key -> (base of the section, the moved value)
MODEL = {
    "kind": (SMALL | {"skip": "none"}, HOURGLASS),
    "activation": (SMALL, "relu"),
    "noise_level": (SMALL, False),
    "skip": (SMALL, "none"),
    "rank": (SMALL, 12),
    "hidden": (SMALL, 24),
    "blocks": (SMALL, 2),
    "widths": (HOURGLASS, [128, 12]),
    "input": (HOURGLASS, "flux"),
    "output": (HOURGLASS, "sigmoid"),
}
REST = {"kind": "restframe", "rank": 6, "hidden": 16, "blocks": 1, "scan_rank": 5}
MODEL_AT_REST = {  # the same of networks in the rest frame
    "activation": "relu",
    "rank": 5,
    "hidden": 24,
    "blocks": 2,
    "steps": 1,
    "scan_rank": 2,
}
AUGMENT = {
    "calibration": "none",
    "calibration_max": 0.05,
    "calibration_width": 0.3,
    "calibration_law": "fixed",
    "calibration_mean_removed": False,
    "scale_sigma": 0.1,
    "offset_sigma": 0.1,
    "target": "original",
    "no_data": 0.5,
    "cr": 3,
    "bad_sky": 0.1,
}
OF_STACKS = {"partial_snr": 2.0}  # acts where rows are read or made: tests/trainlib/test_stacks.py
PLATEAU = {"schedule": "plateau", "patience": 1, "threshold": 0.0, "factor": 0.5, "cooldown": 0}
SGD = {"optimizer": "sgd", "lr": 0.3}
TRAIN = {
    "recipe": ({}, "A"),
    "seconds": ({"epochs": 150}, 0.2),
    "epochs": ({}, 2),
    "batch_size": ({}, 10),
    "seed": ({}, 5),
    "optimizer": ({"lr": 0.01}, "sgd"),
    "lr": ({}, 0.1),
    "loss": ({}, "mae"),
    "momentum": (SGD, 0.9),
    "betas": ({}, [0.5, 0.6]),
    "weight_decay": ({}, 0.5),
    "schedule": ({}, "constant"),
    "factor": (PLATEAU | {"lr": 0.05, "epochs": 12}, 0.1),
    "patience": (PLATEAU | {"lr": 0.05, "epochs": 12}, 5),
    "threshold": (PLATEAU | {"lr": 0.05, "epochs": 12}, 0.9),
    "cooldown": (PLATEAU | {"lr": 0.05, "epochs": 12, "threshold": 0.9}, 5),
    "warmup": ({}, 0.5),
    "final": ({}, 0.5),
    "interval": ({}, 3),
    "validation_spectra": ({}, 10),
    "precision": ({}, "bfloat16"),  # on whatever machine: the test says that it is fast there
}
# where a run is computed: see test_train.py, test_runs.py, test_kept_checkpoints.py,
# test_memory.py; and what is told of it: test_seen.py
CIRCUMSTANCES = {
    "ranks": 2,
    "threads": 3,
    "device": "cpu",
    "join_timeout_s": 9.0,
    "restarts": 1,
    "keep": 5,
    "memory_gb": 2.0,
    "tensorboard": True,
    "measure_peak": True,
    "runs": "/elsewhere",
    "compile": "kernels",
}
EVALUATE = {
    "seed": 9,
    "spectra": 10,
    "smoothing_sigma": 5.0,
    "wiener_rank": 3,
    "flux_floor": 1.0,
}
# what is learnt from in an epoch: tests/trainlib/test_restframe_run.py
OF_TRAINING = {"passes"}
# The two last tests below; test_kept_checkpoints.py; and tests/test_end_to_end.py, test_fits.py,
# test_restframe_run.py, since a bare store has no limit, no templates, no fits and no more rows.
ELSEWHERE = {"split", "example_snr", "limit_spectra", "template_spectra", "fit_spectra",
             "checkpoint", "trust_spectra", "stranger_spectra"}  # fmt: skip


def keys_of(section: str) -> set[str]:
    return {key for mode in models_in(MODES[section][0]) for key in mode.model_fields}


def test_no_key_is_forgotten():
    assert set(MODEL) | set(MODEL_AT_REST) | OF_TRAINING == keys_of("model")
    assert set(AUGMENT | OF_STACKS) == keys_of("augment")
    assert set(TRAIN) | set(CIRCUMSTANCES) == keys_of("train")
    assert set(EVALUATE) | ELSEWHERE == set(Evaluate.model_fields)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"), train=48, validation=24)


@pytest.mark.parametrize("key", MODEL)
def test_a_model_key_changes_the_network(key):
    spectra = toy_split(40, 128, 0)
    flux = torch.from_numpy(spectra["flux"].values)
    sigma = torch.from_numpy(np.sqrt(spectra["variance"].values))

    def output(tables: dict) -> np.ndarray:
        config = TrainingConfig.model_validate({"model": tables}).model
        statistics = training_statistics(flux, sigma, basis_rank(config), seed=0)
        torch.manual_seed(0)
        model = build_model(config, statistics)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return model(flux, sigma**2).detach().numpy()

    base, moved = MODEL[key]
    if key in ("input", "output"):
        base = {k: v for k, v in base.items() if k != key} | {key: base[key]}
    changed = moved if key == "kind" else base | {key: moved}
    assert not np.allclose(output(base), output(changed), atol=1e-6)


@pytest.mark.parametrize("key", MODEL_AT_REST)
def test_a_key_of_a_model_at_rest_changes_the_network(key):
    flux, variance = (torch.from_numpy(part) for part in toy_frame.observed(30, 0.1)[:2])

    def output(tables: dict) -> np.ndarray:
        config = TrainingConfig.model_validate({"model": tables}).model
        torch.manual_seed(0)
        model = build_model(config, toy_frame.statistics(basis_rank(config))).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return model(flux, variance).detach().numpy()

    assert not np.allclose(output(REST), output(REST | {key: MODEL_AT_REST[key]}), atol=1e-6)


@pytest.mark.parametrize("key", AUGMENT)
def test_an_augment_key_changes_the_batch(key):
    flux, sigma = torch.rand(4, 64), torch.full((4, 64), 0.1)

    def batch(**keys) -> torch.Tensor:
        config = TrainingConfig.model_validate({"augment": keys}).augment
        made = Augmenter(config, 64, 1, Split.train, Purpose.training_noise)(flux, sigma, 0, 0)
        return torch.cat([made.target, made.noisy])

    assert not torch.allclose(batch(), batch(**{key: AUGMENT[key]}), atol=1e-6)


def test_what_is_off_is_no_part_of_a_run_so_that_those_before_it_stay():
    written = {"no_data": 0.0, "cr": 0, "bad_sky": 0.0, "partial_snr": 0.0}
    assert set(written) == WHILE_TRAINING
    inputs = runs.run_inputs(TrainingConfig.model_validate({"augment": written}), "abc")
    assert not {f"augment.{name}" for name in written} & set(inputs["augment"])
    on = runs.run_inputs(TrainingConfig.model_validate({"augment": written | {"cr": 1}}), "abc")
    assert on["augment"] == inputs["augment"] | {"augment.cr": 1}


@pytest.mark.parametrize("key", TRAIN)
def test_a_train_key_changes_the_run(key, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("trainlib.training.train.is_short_fast", lambda _: True)
    base, moved = TRAIN[key]
    base = {"epochs": 3, "batch_size": 20, "lr": 1e-3, **base}
    model = {} if key == "recipe" else SMALL
    if key == "recipe":
        model = {"kind": "hourglass", "widths": [128, 16], "input": "flux", "output": "linear"}
        model |= {"skip": "none"}
    changed = base | {key: moved}
    logs = []
    for name, section in (("base", base), ("changed", changed)):
        directory = train_here(toy_config(tmp_path, model, **section), toy, tmp_path / name)
        logs.append(
            [(e["step"], e["lr"], e["loss"], e["validation_loss"]) for e in read_log(directory)]
        )
    assert logs[0] != logs[1]


def test_short_products_are_of_machines_that_are_fast_in_them_and_only_if_asked_for(
    toy, tmp_path, monkeypatch, caplog
):
    found, told = {}, {}
    caplog.set_level("INFO")
    for is_fast in (False, True):
        monkeypatch.setattr("trainlib.training.train.is_short_fast", lambda _, fast=is_fast: fast)
        for precision in ("float32", "bfloat16"):
            config = toy_config(tmp_path, SMALL, epochs=2, precision=precision)
            caplog.clear()
            directory = train_here(config, toy, tmp_path / f"{precision}-{is_fast}")
            found[precision, is_fast] = losses(directory)
            told[precision, is_fast] = "is left at float32" in caplog.text
    whole = found["float32", True]
    assert whole == found["float32", False] == found["bfloat16", False]
    assert whole != found["bfloat16", True]
    assert [asked for asked, is_told in told.items() if is_told] == [("bfloat16", False)]


def fingerprint_of(**sections: dict) -> str:
    return runs.run_fingerprint(TrainingConfig.model_validate(sections), "abc")


@pytest.mark.parametrize("key", MODEL)
def test_a_model_key_makes_another_run(key):
    base, moved = MODEL[key]
    changed = moved if key == "kind" else base | {key: moved}
    assert fingerprint_of(model=base) != fingerprint_of(model=changed)


@pytest.mark.parametrize("key", [*MODEL_AT_REST, *OF_TRAINING])
def test_a_key_of_a_model_at_rest_makes_another_run(key):
    moved = (MODEL_AT_REST | {"passes": 3})[key]
    assert fingerprint_of(model=REST) != fingerprint_of(model=REST | {key: moved})


@pytest.mark.parametrize("key", AUGMENT | OF_STACKS)
def test_an_augment_key_makes_another_run(key):
    assert fingerprint_of() != fingerprint_of(augment={key: (AUGMENT | OF_STACKS)[key]})


@pytest.mark.parametrize("key", [*TRAIN, *CIRCUMSTANCES])
def test_a_train_key_makes_another_run_unless_it_says_where_it_is_computed(key):
    base, moved = TRAIN[key] if key in TRAIN else ({}, CIRCUMSTANCES[key])
    base = {"interval": 1, **base}
    is_same = fingerprint_of(train=base) == fingerprint_of(train=base | {key: moved})
    assert is_same == (key in CIRCUMSTANCES)


def test_a_recipe_written_out_makes_the_same_run():
    written = read_recipe("A")
    named = fingerprint_of(train={"recipe": "A"})
    written["train"]["recipe"] = "B"
    assert fingerprint_of(**written) == named != fingerprint_of()


@pytest.mark.parametrize("section", sorted(set(TrainingConfig.model_fields) - set(MODES)))
def test_no_other_section_makes_another_run_of_the_same_dataset(section):
    config = TrainingConfig.model_validate({})
    other = {"mode": "virtual", "name": "x", "n_train": 5, "seed": 9}
    update = config.dataset.model_copy(update=other) if section == "dataset" else None
    moved = config.model_copy(update={section: update})
    assert runs.run_fingerprint(moved, "abc") == runs.run_fingerprint(config, "abc")


@pytest.mark.parametrize("key", EVALUATE)
def test_an_evaluate_key_changes_the_summary(key, evaluated):
    directory, before = evaluated
    config = runs.read_config(directory)
    section = config.evaluate.model_copy(update={key: EVALUATE[key]})
    runs.write_config(directory, config.model_copy(update={"evaluate": section}))
    try:
        assert evaluate(directory) != before
    finally:
        runs.write_config(directory, config)


@pytest.fixture(scope="module")
def evaluated(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    directory = train_here(toy_config(folder), toy, folder / "run")
    return directory, evaluate(directory)


def test_the_split_is_the_one_that_is_read(toy, evaluated):
    toy_split(12, 128, 9).to_zarr(toy, group="test", mode="a", consolidated=False)
    directory, _ = evaluated
    config = runs.read_config(directory)
    section = config.evaluate.model_copy(update={"split": "test"})
    runs.write_config(directory, config.model_copy(update={"evaluate": section}))
    try:
        summary = evaluate(directory)
        assert summary["split"] == "test"
        assert sum(part["count"] for part in summary["bins"]) == 12
    finally:
        runs.write_config(directory, config)


def test_the_example_is_the_nearest_in_snr(evaluated):
    results = read_results(evaluated[0]).on
    found = []
    for wanted in (6.0, 50.0):
        row = example_rows(results, wanted, 8)[0]
        found.append(float(results["snr"][row]))
        gaps = np.abs(results["snr"].values - wanted)
        assert abs(found[-1] - wanted) == pytest.approx(gaps.min(), abs=1e-5)
    assert found[0] < found[1]
