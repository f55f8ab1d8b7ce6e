"""A sweep trains what is not trained yet, tells which does best, and goes on after a kill."""

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import pipeline, stages, sweeping
from flows.cli import run_program
from flows.config import Config, load_config
from flows.sweeping import Swept, Trial
from simlib.artifact import read_record
from simlib.errors import InputError
from simlib.location import Location
from tests.trainlib.test_log import interval
from trainlib import runs
from trainlib.training.launch import prepare_run
from trainlib.training.log import append_log, read_log
from trainlib.training.sweep import Table

DATASET = "data/datasets/tiny/0123456789abcdef"
Sweep = Callable[..., Swept]
Calls = list[tuple[float, float]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return the rates and shares that were trained, by a stand-in that knows how it ends."""
    told: Calls = []

    def train(config: Config, dataset: str, share: float, seconds: float, _: Any = None) -> None:
        rate = config.train.lr
        told.append((rate, round(share, 3)))
        if rate > 0.5:
            raise InputError("the loss is not finite")
        identity = dataset.rsplit("/", 1)[-1]
        place = runs.run_directory(config, identity)
        prepare_run(place.path, config, Location.of(dataset), identity)
        for epoch in range(len(read_log(place)) + 1, math.ceil(share * config.train.epochs) + 1):
            loss = abs(math.log10(rate) + 2.0) + 1.0 / epoch
            line = interval(4 * epoch) | {"validation_loss": loss, "seconds": 10.0 * epoch}
            append_log(place.path, line)
        if share == 1.0:
            manifest, state = runs.read_manifest(place), runs.State(is_finished=True)
            runs.write_manifest(place, manifest.model_copy(update={"outcome": state}))

    monkeypatch.setattr(sweeping, "train_until", train)
    return told


@pytest.fixture
def sweep(calls: Calls, tmp_path: Path) -> Sweep:
    """Return what sweeps over learning rates."""

    def run(*rates: float, budget: float | None = None, halving: bool = False) -> Swept:
        given = [f"storage.root='{tmp_path}'", "train.epochs=9", "stellar.grid=toy"]
        over = [f"train.lr={','.join(map(str, rates))}"]
        trials = [
            Trial(values, config, str(tmp_path / DATASET))
            for values, config in sweeping.configs_of("tiny", given, over, None)
        ]
        return stages.sweep.fn(load_config("tiny", given), trials, over, budget, halving, False)

    return run


def test_each_trial_is_a_run_and_the_best_comes_first(
    sweep: Sweep, calls: Calls, tmp_path: Path
) -> None:
    place, table = sweep(0.1, 0.01, 0.001)
    assert calls == [(0.1, 1.0), (0.01, 1.0), (0.001, 1.0)]
    assert [one.values["train.lr"] for one in table.trials] == [0.01, 0.1, 0.001]
    best = table.trials[0]
    assert (best.state, best.epochs, best.share, best.seconds) == ("finished", 9, 1.0, 90.0)
    assert best.score == pytest.approx(1 / 9)
    assert read_log(best.run) and Path(best.run).parent == tmp_path / "runs"
    assert Path(place).parent.parent == tmp_path / "runs"
    assert read_record(Location.of(place), Table) == table


def test_one_that_is_begun_again_trains_only_what_is_left(
    sweep: Sweep, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = sweeping.train_until

    def killed(config: Config, *given: Any) -> None:
        if config.train.lr == 0.01:
            raise KeyboardInterrupt
        train(config, *given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sweeping, "train_until", killed)
        sweep(0.1, 0.01, 0.001)
    assert calls == [(0.1, 1.0)]
    whole = sweep(0.1, 0.01, 0.001)
    assert calls[1:] == [(0.01, 1.0), (0.001, 1.0)]
    assert sweep(0.1, 0.01, 0.001) == whole and len(calls) == 3


def test_of_many_the_better_third_is_trained_on(sweep: Sweep, calls: Calls) -> None:
    rates = [0.3, 0.1, 0.06, 0.03, 0.01, 0.005, 0.002, 0.001, 0.0005]
    _, table = sweep(*rates, halving=True)
    assert [share for _, share in calls] == 9 * [0.111] + 3 * [0.333] + [1.0]
    assert {rate for rate, share in calls if share == 0.333} == {0.01, 0.005, 0.03}
    assert calls[-1] == (0.01, 1.0)
    assert [one.share for one in table.trials] == pytest.approx([1] + 2 * [1 / 3] + 6 * [1 / 9])
    assert [one.state for one in table.trials] == ["finished"] + 8 * ["stopped"]
    sweep(*rates, halving=True)
    assert len(calls) == 13


def test_what_is_not_paid_for_is_left(sweep: Sweep, calls: Calls) -> None:
    sweep(0.1, 0.01)
    _, table = sweep(0.1, 0.01, budget=179.0)  # 180 were spent by the two
    assert len(calls) == 2 and {one.state for one in table.trials} == {"finished"}
    _, table = sweep(0.1, 0.02, budget=89.0)
    assert len(calls) == 2
    assert [one.state for one in table.trials] == ["finished", "not begun"]
    sweep(0.1, 0.02, budget=91.0)
    assert calls[2:] == [(0.02, 1.0)]


def test_a_trial_that_fails_is_told_and_does_not_end_the_others(sweep: Sweep, calls: Calls) -> None:
    for _ in range(2):
        _, table = sweep(0.9, 0.01)
    assert calls == [(0.9, 1.0), (0.01, 1.0), (0.9, 1.0)]
    assert [one.state for one in table.trials] == ["finished", "failed: the loss is not finite"]
    with pytest.raises(InputError, match="no trial could be trained; the first failed: the loss"):
        sweep(0.8, 0.9)


def test_a_trial_that_is_no_config_is_told_before_any_is_trained(calls: Calls) -> None:
    for over, told in (
        (["train.lr=0.1,-1"], "train.lr"),
        (["train.rate=0.1"], "train.rate"),
        (["train.momentum=0.1"], "acts only with"),
    ):
        with pytest.raises(InputError, match=told):
            pipeline.sweep("tiny", [], over)
    assert not calls


def test_the_verb_tells_the_trials(
    calls: Calls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(stages, "etc_grid", lambda config: config)
    monkeypatch.setattr(stages, "build_dataset", lambda config, _: str(tmp_path / DATASET))
    words = ["sweep", "tiny", "--over", "train.lr=0.1,0.01", "--set", "train.epochs=9"]
    words += ["--set", "stellar.grid=toy"]
    assert run_program([*words, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [one["values"] for one in told["trials"]] == [{"train.lr": 0.01}, {"train.lr": 0.1}]
    assert run_program(words) == 0
    out = capfd.readouterr().out
    assert "validation loss" in out and "0.11111" in out and out.strip().endswith("sweep.json")
    assert len(calls) == 2
    few = [*words, "--over", "train.seed=3..9999", "--random", "1", "--budget", "1e9"]
    assert run_program([*few, "--json"]) == 0
    (one,) = json.loads(capfd.readouterr().out)["trials"]
    assert 3 <= one["values"]["train.seed"] <= 9999 and len(calls) == 3
    assert run_program([*words, "--over", "train.weight_decay=0,1", "--budget", "0"]) == 0
    assert "not begun" in capfd.readouterr().out
    assert run_program([*words, "--over", "train.epochs=9,18,27", "--halving"]) == 0
    assert calls[3:] and calls[3][1] == pytest.approx(1 / 3, abs=1e-3)
    asked: list[bool] = []
    monkeypatch.setattr(sweeping, "_side_by_side", lambda *_: iter(asked.append(True) or ()))
    assert run_program([*words, "--set", "train.seed=8", "--side-by-side"]) == 0
    assert asked == [True]
    assert run_program([*words, "--over", "train.lr=1"]) == 2
    assert "--over train.lr is given twice" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--side-by-side", "--set", "cluster.workers=2"]])
def test_real_trials_are_halved_and_go_on(
    how: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = [f"storage.root='{tmp_path}'", "train.ranks=1", "train.epochs=300", "train.interval=1"]
    words = ["sweep", "tiny", "--over", "train.lr=1e-2,1e-3,1e-5", "--halving", "--json", *how]
    words += [part for one in sets for part in ("--set", one)]
    assert run_program(words) == 0
    table = json.loads(capfd.readouterr().out)
    best, *others = table["trials"]
    assert best["state"] == "finished" and all(one["share"] >= 1 / 3 for one in others)
    assert [entry["epoch"] for entry in read_log(best["run"])] == list(range(1, 301))
    assert run_program(words) == 0
    assert json.loads(capfd.readouterr().out) == table


def test_trials_side_by_side_share_what_is_left_and_a_mistake_ends_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is done first is told first."""

    @dataclass(frozen=True)
    class Future:
        name: str

        def result(self) -> None:
            if self.name == "second":
                raise InputError("no such star")

    class Client:
        def submit(self, work: Any, *given: Any, pure: bool) -> Any:
            assert (work, pure) == (sweeping.train_until, False)
            started.append(given)
            return Future(given[0])

    started: list[tuple[Any, ...]] = []
    clusters: list[Any] = []
    config = SimpleNamespace(cluster="the cluster")
    trials: list[Any] = [SimpleNamespace(config=config, name=name) for name in ("first", "second")]
    monkeypatch.setattr(sweeping, "dask_client", lambda of: clusters.append(of) or nullcontext(
        Client()))  # fmt: skip
    monkeypatch.setattr(sweeping, "as_completed", reversed)
    monkeypatch.setattr(sweeping, "_given", lambda trial, share, left: (trial.name, share, left))
    monkeypatch.setattr(sweeping.time, "monotonic", lambda: 100.0)
    found = list(sweeping._side_by_side(trials, 0.25, 130.0))
    assert started == [("first", 0.25, 15.0), ("second", 0.25, 15.0)]
    assert clusters == ["the cluster"]
    assert [(trial.name, str(error)) for trial, error in found] == [
        ("second", "no such star"), ("first", "None"),
    ]  # fmt: skip
    assert list(sweeping._side_by_side(trials, 0.25, 100.0)) == []  # the time is over
    assert list(sweeping._side_by_side([], 0.25, 130.0)) == [] and len(clusters) == 1
