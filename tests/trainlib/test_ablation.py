"""Variants of a run: what is otherwise in each, what is kept, gone on with, and told."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flows import ablating
from flows.ablating import ablate as ablate_for
from flows.cli import run_program
from flows.terminal.ablation_text import print_ablation
from simlib.config import validate
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import AXES
from simlib.rng import Purpose, Split
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.config import TrainingConfig
from trainlib.evaluation import ablation as module
from trainlib.evaluation.ablation import ABLATION, Variant, ablate, read_ablation, variants
from trainlib.evaluation.generalisation import OnSpectra
from trainlib.evaluation.gradients import FirstLayer, first_layer
from trainlib.evaluation.trained import load_trained
from trainlib.runs import run_fingerprint
from trainlib.training.augment import Augmenter
from trainlib.training.data import open_split, read_spectra
from trainlib.training.examples import Objective

ROOT = Location.of("/of/all")


def config(**sections: Any) -> TrainingConfig:
    given = {"dataset": {"name": "mine", "mode": "endless", "n_train": 70}} | sections
    return TrainingConfig.model_validate({"train": {"recipe": "C", "seconds": 9.0}} | given)


def made(variant: Variant, usual: TrainingConfig) -> TrainingConfig:
    return validate(TrainingConfig, variant.tables(usual, 2.5, ROOT))


def test_each_variant_is_the_run_with_one_thing_otherwise_and_the_same_budget() -> None:
    usual = config()
    same, mae, cells, threads, paper = [made(one, usual) for one in variants(usual, 4096)]
    for one in (same, mae, cells, threads, paper):
        assert (one.train.seconds, one.train.ranks, one.train.threads) == (150.0, 1, 1)
        assert one.root == ROOT and one.train.device == "cpu"
        assert (one.dataset.name, one.dataset.mode) == ("mine-ablation", "endless")
        assert one.dataset.n_train == 70 and one.conditions == usual.conditions
    assert (same.model, same.augment, same.stellar) == (usual.model, usual.augment, usual.stellar)
    assert mae.train == same.train.model_copy(update={"loss": "mae"})
    assert (cells.stellar.withheld, threads.stellar.withheld) == ("cells", "threads")
    assert cells.train == threads.train == same.train
    assert paper.model.widths == (4096, 392, 272, 152, 32) and paper.train.lr == 100.0
    assert paper.train.validation_spectra == usual.train.validation_spectra
    assert len({run_fingerprint(one, "abc") for one in (same, mae, paper)}) == 3
    other = config(train={"recipe": "B", "loss": "mae", "runs": "/elsewhere"},
                   dataset={"mode": "stored"})  # fmt: skip
    first, second = [made(one, other) for one in variants(other, 128)][:2]
    assert (first.train.loss, second.train.loss) == ("mae", "rmse")
    assert first.train.runs is None and first.dataset.mode == "virtual"


def test_what_all_are_tested_on_is_drawn_from_what_is_withheld_alone() -> None:
    usual = config()
    as_trained, cells, threads = [one.config(usual).stellar for one in module.kinds()]
    assert as_trained == usual.stellar
    assert (threads.withheld, cells.withheld) == ("threads", "cells")
    assert threads.withheld_only and cells.withheld_only


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An ablation of networks that stand for any, and what is tested of them, in order."""
    state = SimpleNamespace(epoch=3, samples=210, seconds=5.0, cpu_seconds=4.0)
    tested: list[tuple[str, str]] = []
    stops: list[tuple[str, str]] = []

    def tested_on(run: Location, usual: Location, spectra: int, kinds: Any, known: Any) -> Any:
        for kind in kinds:
            identity = f"{run.name} {usual.name} {spectra} {kind.name}"
            if identity not in known:
                if (run.name, kind.name) in stops:
                    raise KeyboardInterrupt
                tested.append((run.name, kind.name))
            yield OnSpectra(identity=identity, name=kind.name, text=kind.text, spectra=spectra)

    def train(tables: dict[str, Any]) -> Location:
        loss, withheld = tables["train"].get("loss"), tables["stellar"]["withheld"]
        if withheld == "cells":
            raise InputError("the grid has no cells")
        return ROOT / f"{tables['train']['recipe']} {loss} {withheld}"

    monkeypatch.setattr(module, "tested_on", tested_on)
    monkeypatch.setattr(module, "load_trained", lambda run: SimpleNamespace(state=state))
    monkeypatch.setattr(module, "first_layer", lambda trained: None)

    def run(spectra: int = 7) -> module.Ablation:
        return ablate(Location.of(tmp_path), config(), 4096, 2.5, spectra, ROOT, train)

    return SimpleNamespace(run=run, tested=tested, stops=stops, folder=tmp_path)


def test_what_was_cut_off_goes_on_and_a_variant_that_cannot_be_trained_is_told(trials: Any) -> None:
    trials.stops.append(("C rmse threads", "withheld threads"))
    with pytest.raises(KeyboardInterrupt):
        trials.run()
    kept = read_ablation(trials.folder)
    assert kept is not None
    told = [("as configured", 3), ("mae", 3), ("without cells", 0), ("without threads", 2)]
    assert [(row.name, len(row.tests)) for row in kept.rows] == told
    trials.stops.clear()
    done = len(trials.tested)
    found = trials.run()
    assert trials.tested[done:][0] == ("C rmse threads", "withheld threads")
    assert len(trials.tested) == len(set(trials.tested)) == 12
    reasons = {row.name: row.reason for row in found.rows if row.reason}
    assert reasons == {"without cells": "the grid has no cells"}
    assert (trials.folder / ABLATION).exists() and read_ablation(trials.folder) == found
    assert trials.run() == found and len(trials.tested) == 12
    trials.run(8)
    assert len(trials.tested) == 24


def test_the_run_itself_has_to_be_trained(trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "variants", lambda *_: variants(config(), 4096)[2:3])
    with pytest.raises(InputError, match="no cells"):
        trials.run()


@pytest.mark.parametrize(("folder", "root"), [("runs/r", ""), ("elsewhere/r", "/theirs")])
def test_variants_are_trained_as_any_run_beside_the_run(
    folder: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, told = {"dataset": {"name": "varied"}}, list[tuple[Any, ...]]()
    one = SimpleNamespace(
        dataset=SimpleNamespace(name="varied"), place=lambda made: f"the place of {made}"
    )
    monkeypatch.setattr(ablating, "read_run", lambda run: (SimpleNamespace(root="/theirs"), "m"))
    monkeypatch.setattr(ablating, "dataset_of", lambda run, config, manifest: "the dataset")
    monkeypatch.setattr(ablating, "is_bare", lambda dataset: False)
    pixels = SimpleNamespace(sizes={"wavelength": 77})
    monkeypatch.setattr(ablating, "open_split", lambda *given: told.append(given) or pixels)
    monkeypatch.setattr(ablating, "validate", lambda of, given, what: told.append(
        (of.__name__, given, what)) or one)  # fmt: skip
    for name in ("etc_grid", "build_dataset", "train"):
        monkeypatch.setattr(ablating.stages, name, lambda config, *given, name=name: (
            f"{name} of {[config.dataset.name, *given]}"))  # fmt: skip
    monkeypatch.setattr(ablating, "ablate_run", lambda *given: given)
    found: Any = ablate_for(Location.of(tmp_path / folder), 2.5, 9)
    assert found[2:5] == (77, 2.5, 9) and str(found[5]) == (root or str(tmp_path))
    built = "build_dataset of ['varied', \"etc_grid of ['varied']\"]"
    assert found[6](tables) == f"the place of train of {['varied', built]}"
    assert told == [("the dataset", "train"), ("Config", tables, "a variant of the run's config")]


def test_the_matrix_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    test = OnSpectra(identity="", name="withheld cells", text="", eta=1.25, eta_error=0.02,
                     error=0.0375, worst=0.5)  # fmt: skip
    layer = FirstLayer(untrained=1e-6, trained=2e-7, paper=3e-7, rate=100.0)
    dark = OnSpectra(identity="", name="at night", text="", reason="too dark")
    rows = (
        module.Ablated(name="mae", text="", epochs=3, cpu_seconds=60.4, tests=(test,)),
        module.Ablated(name="recipe A", text="", first_layer=layer, tests=(dark,)),
        module.Ablated(name="without cells", text="", reason="no room"),
    )
    print_ablation(module.Ablation(minutes=1.0, spectra=7, rows=rows).model_dump(mode="json"))
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]
    told = "1.25 ± 0.02 (3.75 %, 50.0 %)"
    assert ["mae", "3", "60", told, "–"] in cells
    assert ["recipe A", "0", "0", "–", "too dark"] in cells
    out = " ".join(printed.split())
    assert "without cells: not trained, no room" in out
    assert "recipe A: mean |gradient| of the first layer 1.0e-06 before the first step" in out


def test_the_first_layer_is_as_steep_as_differences_say(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = {"widths": [48, 12, 8]}
    toy = toy_config(tmp_path, model, recipe="A", epochs=1, batch_size=20)
    run = train_here(toy, write_toy(tmp_path, 40, 8, 48), tmp_path / "run")
    trained = load_trained(run)
    found = first_layer(trained)
    assert found is not None and found.rate == 100.0
    assert found.untrained != found.trained and found.paper < found.untrained
    # moved along the gradient's signs, the loss changes by the sum of its sizes
    section = trained.config.train
    rows = read_spectra(open_split(trained.dataset, "train"), 0, 20, torch.device("cpu"))
    made = Augmenter(trained.config.augment, 48, section.seed, Split.train, Purpose.training_noise)
    batch = made(rows.flux, rows.sigma, 0, 0)
    network = trained.model.double()
    given = [part.double() for part in (batch.noisy, batch.variance, batch.target)]
    weights = next(network.layers.parameters())
    objective = Objective(network)
    objective(*given).mean().backward()
    step, losses = 1e-7 * weights.grad.sign(), []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            weights += sign * step
            losses.append(float(objective(*given).mean()))
            weights -= sign * step
    assert (losses[0] - losses[1]) / 2e-7 / weights.numel() == pytest.approx(
        found.trained, rel=1e-3
    )


def test_another_network_has_no_such_layer(tmp_path: Path) -> None:
    run = train_here(toy_config(tmp_path, epochs=1), write_toy(tmp_path, 40, 8), tmp_path / "run")
    assert first_layer(load_trained(run)) is None


@pytest.mark.parametrize("as_json", [False, True])
def test_the_verb_is_told_run_budget_and_how_many(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told: list[Any] = []

    def stand_in(run: Location, minutes: float, spectra: int) -> module.Ablation:
        told.append((str(run), run.options, minutes, spectra))
        rows = (module.Ablated(name="mae", text="", reason="no room"),)
        return module.Ablation(minutes=minutes, spectra=spectra, rows=rows)

    monkeypatch.setitem(sys.modules, "flows.ablating", SimpleNamespace(ablate=stand_in))
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    words = ["ablate", "mine", "--root", str(tmp_path), "--storage-option", "door=open"]
    assert run_program([*words, *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["minutes"] == 10.0 if as_json else "mae: not trained, no room" in out
    assert run_program([*words, "--minutes", "0.5", "--spectra", "9"]) == 0
    place = (str(tmp_path / "runs/mine"), {"door": "open"})
    assert told == [(*place, 10.0, 512), (*place, 0.5, 9)]


def test_a_run_on_spectra_alone_is_refused_with_the_way_out(tmp_path: Path) -> None:
    run = train_here(toy_config(tmp_path, epochs=1), write_toy(tmp_path, 40, 8), tmp_path / "run")
    with pytest.raises(InputError, match="store of spectra alone.*dataset's folder"):
        ablate_for(Location.of(run), 1.0, 4)


@pytest.mark.slow
def test_variants_are_trained_and_tested_on_what_one_of_them_was_not_shown(tmp_path: Path) -> None:
    """On the toy grid, of which other nodes are made so that something can be withheld."""
    rows = ("dataset.n_train=70", "dataset.n_validation=24", "dataset.mode=virtual")
    model = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
    first = build(tmp_path, *rows)
    usual = toy_config(tmp_path, model, recipe="C", batch_size=16, epochs=2)
    run = train_here(usual, str(first), tmp_path / "run")
    places: dict[str, Location] = {}

    def train(tables: dict[str, Any]) -> Location:
        told = validate(TrainingConfig, tables)
        wanted = [f"stellar.withheld={told.stellar.withheld}"] * (
            told.stellar.withheld != "nothing"
        )
        name = f"{told.train.recipe} {told.train.loss} {told.stellar.withheld}"
        places[name] = build(tmp_path, *rows, "dataset.name=other", *wanted)
        section = {"epochs": 2} | ({"batch_size": 16} if told.train.recipe == "C" else {})
        told = told.model_copy(update={"train": told.train.model_copy(update=section)})
        return Location.of(train_here(told, str(places[name]), tmp_path / name))

    found = ablate(Location.of(run), usual, 4096, 1.0, 12, Location.of(tmp_path), train)
    assert [row.reason for row in found.rows] == [""] * 5
    assert [bool(row.first_layer) for row in found.rows] == [False] * 4 + [True]
    for row in found.rows:
        assert row.epochs == 2 and row.tests[0].name == "as trained"
        for test in row.tests:
            assert test.reason or (0 < test.error < test.worst and test.eta > 0)
    kept, out = (open_dataset(str(places[name]), "train") for name in
                 ("C rmse nothing", "C rmse threads"))  # fmt: skip
    assert any(not np.array_equal(kept[axis], out[axis]) for axis in AXES)
