"""The stages, each a Prefect task where there is a server: Dask and torchrun are inside.

A stage reads what earlier ones wrote, writes one thing and returns where it is. Each finds out by
fingerprint whether its work is done already.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.artifacts import shown_progress
from flows.building import HOUR_S, build_dataset, etc_grid, meet_workers
from flows.config import Config
from flows.launching import launch_command
from flows.orchestration import stage
from flows.spreading import spread_over
from flows.sweeping import Swept, Trial, run_sweep
from flows.terminal.progress import epoch_progress, item_progress
from simlib.errors import Preempted
from simlib.location import Location, Place
from simlib.retry import may_pass
from trainlib.evaluation.alike import pass_gate
from trainlib.evaluation.due import release_due
from trainlib.evaluation.evaluate import evaluate as evaluate_run
from trainlib.evaluation.gate import Compared, Verdict, write_judgement
from trainlib.evaluation.picture import LivePicture
from trainlib.evaluation.report import write_report
from trainlib.evaluation.results import read_results
from trainlib.release import read_release, releases_in
from trainlib.release import release as make_release
from trainlib.runs import run_directory
from trainlib.training import launch
from trainlib.training.log import Interval

__all__ = [
    "build_dataset", "etc_grid", "evaluate", "meet_workers", "release", "report", "sweep", "train",
]  # fmt: skip

log = logging.getLogger(__name__)


def may_train_on(error: Exception) -> bool:
    """Return whether training that ended so is to be gone on with from its checkpoint."""
    return isinstance(error, launch.RanksLost | Preempted) or may_pass(error)


@stage("train", 720 * HOUR_S, may_train_on)
def train(config: Config, dataset: str) -> str:
    """Return the directory of the finished run."""
    directory = str(run_directory(config, dataset.rsplit("/", 1)[-1]))
    command = launch_command(config, directory)
    picture = LivePicture(Location.of(directory, config.storage.options))
    with epoch_progress(config.train.seconds, config.train.epochs) as show:

        def tell(interval: Interval) -> None:
            show(interval)
            picture.add(interval)

        launch.train(config, dataset, directory, progress=tell, on_line=_said, command=command)
    picture.finish()
    log.info("run %s", directory)
    return directory


def _said(line: str) -> None:
    """Pass on what the ranks print, but for intervals, which the progress tells."""
    if line.strip() and not line.startswith("epoch "):
        log.info("%s", line)


@stage("sweep", 720 * HOUR_S, may_train_on)
def sweep(
    base: Config,
    trials: Sequence[Trial],
    over: Sequence[str],
    budget: float | None,
    is_halving: bool,
    is_side_by_side: bool,
) -> Swept:
    """Return the table of trials, each trained as far as it was not."""
    return run_sweep(base, trials, over, budget, is_halving, is_side_by_side)


@stage("evaluate", 24 * HOUR_S)
def evaluate(config: Config, run: str) -> dict[str, Any]:
    """Return the errors of the network and of the baselines by S/N, kept in the run."""
    place = Location.of(run, config.storage.options)
    with (
        spread_over(config.cluster, place) as spread,
        item_progress("judging", "parts", "spectra") as progress,
        shown_progress(progress, "parts of the evaluation") as show,
    ):
        return evaluate_run(place, section=config.evaluate, spread=spread, progress=show)


@stage("report", 6 * HOUR_S)
def report(config: Config, run: str) -> Place:
    """Return the path of the run's report, where it is a URL its location."""
    return write_report([Location.of(run, config.storage.options)])


@dataclass(frozen=True)
class Released:
    """How a release came out, in words, and what was compared, by bin of S/N."""

    outcome: str
    bins: tuple[Compared, ...] = ()


@stage("release", 24 * HOUR_S)
def release(config: Config, dataset: str, run: str) -> Released:
    """Release dataset and run in one step, unless the network is worse than the released one."""
    name, place = config.dataset.name, config.place(dataset)
    due = release_due(config, config.gate, place)
    if not due.is_due:
        return Released(due.reason)
    holds = read_release(config.root, name)
    found = Verdict(True, "nothing to compare with was released before")
    if holds is not None and holds.run is not None:
        before = releases_in(config.root, name).follow(holds.run.place)
        place_of_run = Location.of(run, config.storage.options)
        found = pass_gate(place_of_run, before, config.gate)
        judged = read_results(place_of_run).evaluation.fingerprint
        write_judgement(place_of_run, judged, holds.run.fingerprint, config.gate, found)
    if not found.passes:
        log.warning("release %s of %s stays: %s", holds and holds.number, name, found.reason)
        return Released(f"not released: {found.reason}", found.bins)
    made = make_release(config.root, name, place, config.place(run))
    log.info("release %d of %s: %s", made.number, name, found.reason)
    return Released(f"release {made.number}: {found.reason}", found.bins)
