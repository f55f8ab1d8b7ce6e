"""A sweep: its trials trained one after another or side by side, the better ones alone if asked."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from distributed import as_completed

from flows.cluster import dask_client
from flows.config import Config, load_config
from flows.launching import launch_command
from simlib.artifact import write_record
from simlib.dataset.publish import folder_of
from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location
from trainlib.runs import run_directory
from trainlib.training.sweep import (
    REDUCTION,
    Outcome,
    Table,
    best_first,
    outcome_of,
    override,
    read_axis,
    rungs,
    score_at,
    train_until,
    trials_of,
)

log = logging.getLogger(__name__)

TABLE = "sweep.json"


class Swept(NamedTuple):
    """Where the table of a sweep is, and what it says."""

    place: str
    table: Table


@dataclass(frozen=True)
class Trial:
    """A config of a sweep, what it changes, and the dataset that it is trained on."""

    values: dict[str, Any]
    config: Config
    dataset: str

    @property
    def place(self) -> Location:
        """Where its run is."""
        return run_directory(self.config, self.dataset.rsplit("/", 1)[-1])

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        return outcome_of(self.config, self.place, self.values)


def configs_of(
    source: str, overrides: Sequence[str], over: Sequence[str], count: int | None
) -> list[tuple[dict[str, Any], Config]]:
    """Return values and config of every trial. Raises InputError where one is no config."""
    seed = load_config(source, overrides).train.seed
    found = trials_of([read_axis(text) for text in over], count, seed)
    return [
        (values, load_config(source, [*overrides, *map(override, values, values.values())]))
        for values in found
    ]


def run_sweep(
    base: Config,
    trials: Sequence[Trial],
    over: Sequence[str],
    budget: float | None,
    is_halving: bool,
    is_side_by_side: bool,
) -> Swept:
    """Train the trials as far as they are not, and write the table of them after each.

    budget: seconds of training, of all trials together. Raises InputError where none succeeds.
    """
    by_run = {str(trial.place): trial for trial in trials}  # what is drawn twice is one
    place, failed = table_place(base, over), dict[str, Outcome]()

    def table() -> Table:
        found = [failed.get(name) or trial.outcome for name, trial in by_run.items()]
        return Table(over=tuple(over), trials=best_first(found))

    end = math.inf
    if budget is not None:
        end = time.monotonic() + budget - sum(one.seconds for one in table().trials)
    train = _side_by_side if is_side_by_side else _one_after_another
    going = list(by_run.values())
    for share in rungs(len(going), is_halving):
        going = [trial for trial in going if str(trial.place) not in failed]
        waiting = [trial for trial in going if trial.outcome.share < share]
        for trial, error in train(waiting, share, end):
            if error is not None:
                name = str(trial.place)
                log.warning("%s failed: %s", name, error)
                failed[name] = Outcome(values=trial.values, run=name, state=f"failed: {error}")
            write_record(place, table())
        going.sort(key=lambda trial: score_at(trial.config, trial.place, share))
        going = going[: max(1, len(going) // REDUCTION)]
    found = table()
    write_record(place, found)
    if len(failed) == len(by_run):
        raise InputError(f"no trial could be trained; the first {found.trials[0].state}")
    return Swept(str(place), found)


def table_place(base: Config, over: Sequence[str]) -> Location:
    """Return the table of what is varied of a config, beside its runs."""
    run = run_directory(base, folder_of(base).name)
    name = f"sweep-{base.dataset.name}-{fingerprint([run.name, sorted(over)])}"
    return run.parent / name / TABLE


def _one_after_another(
    waiting: list[Trial], share: float, end: float
) -> Iterator[tuple[Trial, InputError | None]]:
    """Train each on to a share of its training, until the clock says `end`."""
    for trial in waiting:
        if (left := end - time.monotonic()) <= 0.0:
            return
        log.info("%s  to %.0f %% of its training", _said(trial.values), 100.0 * share)
        try:
            train_until(*_given(trial, share, left))
        except InputError as error:
            yield trial, error
        else:
            yield trial, None


def _side_by_side(
    waiting: list[Trial], share: float, end: float
) -> Iterator[tuple[Trial, InputError | None]]:
    """Do the same on the workers of the cluster; the time that is left is shared out to the trials.

    So it is not the clock's: they may all be trained at once, or queue.
    """
    left = end - time.monotonic()
    if not waiting or left <= 0.0:
        return
    with dask_client(waiting[0].config.cluster) as client:
        futures = {
            client.submit(
                train_until, *_given(trial, share, left / len(waiting)), pure=False
            ): trial
            for trial in waiting
        }
        for future in as_completed(list(futures)):
            try:
                future.result()
            except InputError as error:
                yield futures[future], error
            else:
                yield futures[future], None


def _given(trial: Trial, share: float, seconds: float) -> tuple[Any, ...]:
    """Return what `train_until` is given."""
    command = launch_command(trial.config, str(trial.place))
    return trial.config, trial.dataset, share, seconds, command


def _said(values: dict[str, Any]) -> str:
    return "  ".join(f"{key} = {value}" for key, value in values.items())
