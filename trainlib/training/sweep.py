"""A search among configs: which trials there are, how far each is trained, and what came out.

A trial is an ordinary run, known by its own fingerprint. What a sweep did is in the runs alone: one
that is begun again goes on with what is done, and so does one that asks for more.
"""

import json
import math
import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from simlib.artifact import Record
from simlib.errors import InputError, shown
from simlib.location import Location
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.training import launch
from trainlib.training.log import Interval, read_log

REDUCTION = 3  # of the trials, one in so many goes on; each then is trained so many times longer
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*")


@dataclass(frozen=True)
class Axis:
    """A key with the values to try, or with the range that they are drawn from, ends included."""

    key: str
    values: tuple[Any, ...] = ()
    limits: tuple[float, float] | None = None
    is_whole: bool = False


class Outcome(Record):
    """What became of a trial. values: by key. score: its least validation loss, None without one.

    share: of its epochs or its budget, that it is trained for. state: finished, stopped (others
    were better, or the time is spent), or why it failed. seconds: of training.
    """

    values: dict[str, Any]
    run: str
    state: str
    share: float = 0.0
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0


class Table(Record):
    """What a sweep came to, `sweep.json`: its trials, the best first."""

    remedy: ClassVar[str] = "remove it and begin the sweep again: what is trained stays"
    over: tuple[str, ...]
    trials: tuple[Outcome, ...]


def read_axis(text: str) -> Axis:
    """Return an axis from `section.key=V1,V2,…` or `section.key=LOW..HIGH`. Raises InputError."""
    key, equals, told = text.partition("=")
    key = key.strip()
    if not equals or not told.strip() or "." not in key:
        raise InputError(
            f"--over {shown(text)}: write section.key=V1,V2,… or section.key=LOW..HIGH"
        )
    if found := _RANGE.fullmatch(told):
        low, high = map(float, found.groups())
        if not low < high:
            raise InputError(f"--over {shown(text)}: the first number is the lower one")
        is_whole = all(part.lstrip("+-").isdigit() for part in found.groups())
        return Axis(key, limits=(low, high), is_whole=is_whole)
    try:
        values = tomllib.loads(f"values = [{told}]")["values"]
    except (ValueError, RecursionError):  # text that was spared its quotes
        values = [part.strip() for part in told.split(",") if part.strip()]
    if not values:
        raise InputError(f"--over {shown(text)}: no value is given; write {key}=V1,V2,…")
    return Axis(key, values=tuple(values))


def trials_of(axes: Sequence[Axis], count: int | None, seed: int) -> list[dict[str, Any]]:
    """Return the values of every trial, by key: the whole grid, or so many by lot.

    More by lot begin with those that fewer are. A range is drawn from evenly, in its logarithm
    where both ends are above 0. Raises InputError for a range without a count.
    """
    keys = [axis.key for axis in axes]
    if not keys:
        raise InputError("nothing to vary; give --over section.key=V1,V2,…")
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise InputError(f"--over {twice[0]} is given twice; put its values into one")
    ranges = [axis.key for axis in axes if axis.limits]
    if ranges and count is None:
        raise InputError(
            f"--over {ranges[0]}: values of a range are drawn; say how many with --random N"
        )
    if ranges and count is not None:
        drawn = [np.random.default_rng([seed, number]) for number in range(count)]
        return [{axis.key: _drawn(axis, lot) for axis in axes} for lot in drawn]
    grid = [
        dict(zip(keys, values, strict=True)) for values in product(*(axis.values for axis in axes))
    ]
    order = np.random.default_rng(seed).permutation(len(grid)) if count else range(len(grid))
    return [grid[number] for number in order][:count]


def _drawn(axis: Axis, lot: np.random.Generator) -> Any:
    if axis.limits is None:
        return axis.values[int(lot.integers(len(axis.values)))]
    low, high = axis.limits
    if axis.is_whole:
        return int(lot.integers(int(low), int(high) + 1))
    if low > 0.0:
        return float(np.exp(lot.uniform(np.log(low), np.log(high))))
    return float(lot.uniform(low, high))


def override(key: str, value: Any) -> str:
    """Return what `--set` would be given."""
    return f"{key}={json.dumps(value)}"


def rungs(trials: int, is_halving: bool) -> list[float]:
    """Return the shares of a training after which only the better trials go on; the last is 1."""
    steps = int(math.log(max(trials, 1), REDUCTION) + 1e-9) if is_halving else 0
    return [float(REDUCTION) ** -step for step in range(steps, -1, -1)]


def share_of(config: TrainingConfig, told: Interval) -> float:
    """Return how much of a training is done after an interval."""
    by_time = told["seconds"] / config.train.seconds if config.train.seconds else 0.0
    return min(max(told["epoch"] / config.train.epochs, by_time), 1.0)


def train_until(
    config: TrainingConfig,
    dataset: str,
    share: float,
    seconds: float,
    command: Sequence[str] | None = None,
) -> None:
    """Train a run on until a share of its training is done or so many seconds are spent.

    It keeps the step that it is at. command: as of `launch.train`, whose errors are raised.
    """
    begin, is_there = time.monotonic(), False

    def watch(told: Interval) -> None:
        nonlocal is_there
        is_there = is_there or share_of(config, told) >= share

    def is_enough() -> bool:
        return (is_there and share < 1.0) or time.monotonic() - begin > seconds

    try:
        launch.train(config, dataset, progress=watch, is_cancelled=is_enough, command=command)
    except KeyboardInterrupt:
        if not is_enough():
            raise


def outcome_of(config: TrainingConfig, place: Location, values: Mapping[str, Any]) -> Outcome:
    """Return what became of a trial, as its run says."""
    manifest = runs.find_manifest(place)
    log = read_log(place)
    if manifest is None or not log:
        return Outcome(values=dict(values), run=str(place), state="not begun")
    is_finished = manifest.outcome is not None
    return Outcome(
        values=dict(values),
        run=str(place),
        state="finished" if is_finished else "stopped",
        share=1.0 if is_finished else share_of(config, log[-1]),
        score=min(told["validation_loss"] for told in log),
        epochs=log[-1]["epoch"],
        seconds=log[-1]["seconds"],
    )


def score_at(config: TrainingConfig, place: Location, share: float) -> float:
    """Return the least validation loss of a run up to a share of its training; infinity without."""
    found = math.inf
    for told in read_log(place):
        found = min(found, told["validation_loss"])
        if share_of(config, told) >= share:
            break
    return found


def best_first(found: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Return trials by how far they were trained, then by what they reached."""
    return tuple(
        sorted(found, key=lambda one: (-one.share, math.inf if one.score is None else one.score))
    )
