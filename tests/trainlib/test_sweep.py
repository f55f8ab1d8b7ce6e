"""Which trials a sweep has, and how far one is trained; what it does with them: tests/flows."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simlib.config import _value
from simlib.errors import InputError
from simlib.location import Location
from tests.trainlib.test_log import interval
from tests.trainlib.training_runs import toy_config
from trainlib.training import launch, sweep
from trainlib.training.log import append_log
from trainlib.training.sweep import Axis, Outcome, read_axis, trials_of


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("train.lr=1e-3,3e-3", Axis("train.lr", (0.001, 0.003))),
        ("train.epochs = 3", Axis("train.epochs", (3,))),
        ("model.widths=[64,16],[64, 8]", Axis("model.widths", ([64, 16], [64, 8]))),
        ("model.activation=relu, gelu", Axis("model.activation", ("relu", "gelu"))),
        ('augment.target="original"', Axis("augment.target", ("original",))),
        ("model.noise_level=true,false", Axis("model.noise_level", (True, False))),
        ("train.lr=1e-4..0.1", Axis("train.lr", limits=(1e-4, 0.1))),
        ("model.rank=8..64", Axis("model.rank", limits=(8.0, 64.0), is_whole=True)),
        ("train.warmup=0..0.5", Axis("train.warmup", limits=(0.0, 0.5))),
    ],
)
def test_an_axis_is_a_list_of_values_or_a_range(text, axis):
    assert read_axis(text) == axis


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train.lr", "write section.key=V1,V2"),
        ("lr=3", "write section.key=V1,V2"),
        ("train.lr= ", "write section.key=V1,V2"),
        ("train.lr=3..1", "the first number is the lower one"),
        ("train.lr=,", "no value is given; write train.lr=V1,V2"),
    ],
)
def test_what_is_no_axis_is_told(text, told):
    with pytest.raises(InputError, match=told):
        read_axis(text)


def values_of(texts: list[str], count: int | None = None, seed: int = 1) -> list[dict[str, Any]]:
    return trials_of([read_axis(text) for text in texts], count, seed)


def test_a_grid_has_every_combination_once():
    found = values_of(["a.x=1,2,3", "a.y=p,q"])
    assert [tuple(trial.values()) for trial in found] == [
        (1, "p"), (1, "q"), (2, "p"), (2, "q"), (3, "p"), (3, "q"),
    ]  # fmt: skip


def test_more_by_lot_begin_with_those_that_fewer_are():
    texts = ["a.x=1,2,3,4,5,6,7,8", "a.y=p,q"]
    few, many, all_of_them = values_of(texts, 3), values_of(texts, 9), values_of(texts, 99)
    assert many[:3] == few and len(all_of_them) == 16
    assert len({tuple(trial.values()) for trial in all_of_them}) == 16
    assert few != values_of(texts)[:3] and few != values_of(texts, 3, seed=2)
    drawn = values_of(["a.x=1e-4..1e-1"], 20)
    assert values_of(["a.x=1e-4..1e-1"], 7) == drawn[:7]


def test_a_range_is_drawn_from_evenly_in_its_logarithm_where_it_has_one():
    found = values_of(["a.x=1e-4..1", "a.y=-1..1.0", "a.z=0..2", "a.c=p,q"], 400)
    below = sum(trial["a.x"] < 1e-2 for trial in found)
    assert 150 < below < 250 and all(1e-4 <= trial["a.x"] <= 1.0 for trial in found)
    assert 150 < sum(trial["a.y"] < 0 for trial in found) < 250
    assert {trial["a.z"] for trial in found} == {0, 1, 2}
    assert {trial["a.c"] for trial in found} == {"p", "q"}


@pytest.mark.parametrize(
    ("texts", "count", "told"),
    [
        ([], None, "nothing to vary"),
        (["a.x=1", "a.x=2"], None, "--over a.x is given twice"),
        (["a.x=1..2"], None, "say how many with --random N"),
    ],
)
def test_a_search_that_cannot_be_is_told(texts, count, told):
    with pytest.raises(InputError, match=told):
        values_of(texts, count)


@pytest.mark.parametrize("value", [0.001, 1e-22, 3, True, "relu", [64, 16], 0.1 + 0.2])
def test_a_value_is_given_as_set_takes_it(value):
    key, _, text = sweep.override("train.lr", value).partition("=")
    assert key == "train.lr" and _value(text) == value


@pytest.mark.parametrize(
    ("trials", "is_halving", "shares"),
    [(9, False, [1]), (2, True, [1]), (3, True, [1 / 3, 1]), (8, True, [1 / 3, 1]),
     (9, True, [1 / 9, 1 / 3, 1]), (27, True, [1 / 27, 1 / 9, 1 / 3, 1])],
)  # fmt: skip
def test_the_shares_grow_by_what_the_trials_shrink_by(trials, is_halving, shares):
    found = sweep.rungs(trials, is_halving)
    assert found == pytest.approx(shares)
    assert all(later == pytest.approx(3 * sooner) for sooner, later in pairwise(found))


def test_a_share_is_of_the_epochs_or_of_the_budget(tmp_path):
    told = interval(8)  # epoch 2, 12 s
    assert sweep.share_of(toy_config(tmp_path, epochs=8), told) == 0.25
    assert sweep.share_of(toy_config(tmp_path, epochs=8, seconds=16.0), told) == 0.75
    assert sweep.share_of(toy_config(tmp_path, epochs=1), told) == 1.0


def test_a_score_is_the_best_up_to_a_share(tmp_path):
    config, place = toy_config(tmp_path, epochs=8), Location.of(tmp_path)
    assert sweep.score_at(config, place, 0.5) == math.inf
    for epoch, loss in enumerate((0.9, 0.5, 0.7, 0.6, 0.1), start=1):
        append_log(tmp_path, interval(4 * epoch) | {"validation_loss": loss})
    scores = [sweep.score_at(config, place, share) for share in (0.1, 0.25, 0.5, 0.6)]
    assert scores == [0.9, 0.5, 0.5, 0.1]


def test_the_farthest_trained_come_first_and_then_the_best():
    def one(share: float, score: float | None) -> Outcome:
        return Outcome(values={}, run="", state="", share=share, score=score)

    ordered = [one(1, 0.2), one(1, 0.3), one(0.3, 0.1), one(0.3, 0.4), one(0, None)]
    assert list(sweep.best_first(ordered[::-1])) == ordered


@pytest.fixture
def trained(monkeypatch):
    """Return the epochs that a launched training went through, which stops as it is asked to."""
    told: list[int] = []

    def train(config: Any, dataset: str, *, progress: Any, is_cancelled: Any, command: Any) -> None:
        for epoch in range(1, config.train.epochs + 1):
            told.append(epoch)
            progress(interval(4 * epoch))
            if is_cancelled():
                raise KeyboardInterrupt("training cancelled")

    monkeypatch.setattr(launch, "train", train)
    return told


def test_a_trial_is_trained_as_far_as_it_is_told(trained, tmp_path: Path):
    config = toy_config(tmp_path, epochs=9)
    sweep.train_until(config, "toy", 1 / 3, math.inf)
    assert trained == [1, 2, 3]
    trained.clear()
    sweep.train_until(config, "toy", 1.0, math.inf)
    assert len(trained) == 9  # it ends by itself
    trained.clear()
    sweep.train_until(config, "toy", 1.0, -1.0)
    assert trained == [1]  # nothing is left to be spent


def test_who_interrupts_a_trial_interrupts_the_sweep(monkeypatch, tmp_path):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep.train_until(toy_config(tmp_path), "toy", 0.5, math.inf)
