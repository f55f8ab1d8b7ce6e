"""The flows, each a paragraph.

A flow's parameters are recorded by the orchestrator, so each is checked before it starts: nothing
is recorded of a mistake, or of a secret in the wrong place. Those that come from a form on its
pages, which its types make, are checked by the flow.
"""

from collections.abc import Sequence
from typing import Any

from flows import artifacts, stages
from flows.claim import Claim, Refresh, claimed
from flows.config import Config, given_config, load_config
from flows.due import dues, refresh_dues
from flows.orchestration import Orchestrated, current_run, flow
from flows.sweeping import Swept, Trial, configs_of
from simlib.dataset.publish import folder_of, published
from simlib.errors import InputError
from simlib.location import Place
from trainlib.runs import CHECKPOINT, run_directory


@flow("specdenoise")
def workflow(source: str = "demo", overrides: Sequence[str] = ()) -> Place:
    """Simulate, train, evaluate and report; return the report's path."""
    config = given_config(source, overrides)
    artifacts.settle_before(config)
    stages.meet_workers(config)
    with claimed(config.root, config.dataset.name, current_run()) as claim:
        claim.begin(dues(config))
        dataset, run, page = _made(config, claim)
        claim.note(outcome=f"made {run} of {dataset}")
        artifacts.show(claim.record, config, run)
    return page


@flow("specdenoise-refresh")
def refreshing(source: str = "demo", overrides: Sequence[str] = ()) -> Refresh:
    """Make again what is not of its inputs any more, and release it where it is not worse.

    What is released stays as it is until the new dataset and network have passed.
    """
    config = given_config(source, overrides)
    artifacts.settle_before(config)
    with claimed(config.root, config.dataset.name, current_run()) as claim:
        claim.begin(found := refresh_dues(config))
        if not any(due.is_due for due in found):
            claim.note(outcome="nothing was due")
            return claim.record
        stages.meet_workers(config)
        dataset, run, _ = _made(config, claim)
        released = claim.timed("release", stages.release, config, dataset, run)
        claim.note(outcome=released.outcome)
        artifacts.show(claim.record, config, run, released.bins)
    return claim.record


def _made(config: Config, claim: Claim) -> tuple[str, str, Place]:
    """Return dataset, run and page, made as far as they were not."""
    terms = claim.timed("etc-grid", stages.etc_grid, config)
    dataset = claim.timed("build-dataset", stages.build_dataset, config, terms)
    run = claim.timed("train", stages.train, config, dataset)
    claim.timed("evaluate", stages.evaluate, config, run)
    return dataset, run, claim.timed("report", stages.report, config, run)


@flow("specdenoise-train")
def training(source: str = "demo", overrides: Sequence[str] = ()) -> str:
    """Make the dataset of a config where it is missing, and train on it; return the run."""
    config = given_config(source, overrides)
    stages.meet_workers(config)
    terms = stages.etc_grid(config)
    dataset = stages.build_dataset(config, terms)
    return stages.train(config, dataset)


@flow("specdenoise-sweep")
def sweeping(
    source: str = "demo",
    overrides: Sequence[str] = (),
    over: Sequence[str] = (),
    random: int | None = None,
    budget: float | None = None,
    halving: bool = False,
    side_by_side: bool = False,
) -> Swept:
    """Train a config with all combinations of some values, or with so many by lot; compare them."""
    base = given_config(source, overrides)
    stages.meet_workers(base)
    trials, datasets = [], dict[str, str]()
    for values, config in configs_of(source, overrides, over, random):
        name = str(folder_of(config))
        if name not in datasets:
            datasets[name] = stages.build_dataset(config, stages.etc_grid(config))
        trials.append(Trial(values, config, datasets[name]))
    return stages.sweep(base, trials, over, budget, halving, side_by_side)


def specdenoise(source: str = "demo", overrides: Sequence[str] = ()) -> Place:
    """Run the whole workflow; return the report's path. Raises InputError for a mistake."""
    report: Place = _checked(workflow, source, overrides)
    return report


def refresh(source: str = "demo", overrides: Sequence[str] = ()) -> Refresh:
    """Make again what is due of a config, release it where it is not worse; return what was done.

    Raises InputError for a mistake, and Held where another does so already.
    """
    done: Refresh = _checked(refreshing, source, overrides)
    return done


def train(source: str, overrides: Sequence[str] = ()) -> str:
    """Train on the dataset of a config; return the run. Raises InputError for a mistake."""
    run: str = _checked(training, source, overrides)
    return run


def sweep(
    source: str,
    overrides: Sequence[str] = (),
    over: Sequence[str] = (),
    random: int | None = None,
    budget: float | None = None,
    halving: bool = False,
    side_by_side: bool = False,
) -> Swept:
    """Train a config with some values varied; return the table. Raises InputError for a mistake.

    over: `section.key=V1,V2,…` or `section.key=LOW..HIGH` each. random: so many trials by lot, else
    all. budget: seconds of training, all together. halving: only the better third of the trials is
    trained on, again and again. side_by_side: on the workers of [cluster].
    """
    configs_of(source, overrides, over, random)
    how = (list(over), random, budget, halving, side_by_side)
    done: Swept = _checked(sweeping, source, overrides, *how)
    return done


def _checked(run: Orchestrated[..., Any], source: str, overrides: Sequence[str], *more: Any) -> Any:
    load_config(source, overrides)
    return run(source, list(overrides), *more)


def require_begun(source: str, overrides: Sequence[str] = ()) -> None:
    """Raise InputError unless the config's run has a checkpoint to go on from."""
    config = load_config(source, overrides)
    dataset = published(config)
    run = run_directory(config, dataset.name) if dataset else None
    if run is None or not (run / CHECKPOINT).exists():
        raise InputError(
            f"nothing to resume: {run or 'the dataset of this config'} "
            f"{'has no checkpoint' if run else 'is not built'}; leave --resume out to begin"
        )
