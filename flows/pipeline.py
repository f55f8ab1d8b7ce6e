"""The flows, each a paragraph.

A flow's parameters are recorded by the orchestrator, so each is checked before it starts: nothing
is recorded of a mistake, or of a secret in the wrong place.
"""

from collections.abc import Sequence
from typing import Any

from flows import stages
from flows.config import load_config
from flows.orchestration import Orchestrated, flow
from simlib.dataset.publish import published
from simlib.errors import InputError
from simlib.location import Place
from trainlib.runs import CHECKPOINT, run_directory


@flow("specdenoise")
def workflow(source: str, overrides: Sequence[str]) -> Place:
    """Simulate, train, evaluate and report; return the report's path."""
    config = load_config(source, overrides)
    stages.meet_workers(config)
    terms = stages.etc_grid(config)
    dataset = stages.build_dataset(config, terms)
    run = stages.train(config, dataset)
    stages.evaluate(config, run)
    return stages.report(config, run)


@flow("specdenoise-build")
def building(source: str, overrides: Sequence[str], repair: bool) -> str:
    """Make the dataset of a config, or what of it is missing or damaged; return its folder."""
    config = load_config(source, overrides)
    stages.meet_workers(config)
    terms = stages.etc_grid(config)
    return stages.build_dataset(config, terms, repair)


@flow("specdenoise-train")
def training(source: str, overrides: Sequence[str]) -> str:
    """Make the dataset of a config where it is missing, and train on it; return the run."""
    config = load_config(source, overrides)
    stages.meet_workers(config)
    terms = stages.etc_grid(config)
    dataset = stages.build_dataset(config, terms)
    return stages.train(config, dataset)


def specdenoise(source: str = "demo", overrides: Sequence[str] = ()) -> Place:
    """Run the whole workflow; return the report's path. Raises InputError for a mistake."""
    report: Place = _checked(workflow, source, overrides)
    return report


def build(source: str, overrides: Sequence[str] = (), repair: bool = False) -> str:
    """Make the dataset of a config; return its folder. Raises InputError for a mistake.

    repair: all that is there is read, and what is damaged is made again.
    """
    folder: str = _checked(building, source, overrides, repair)
    return folder


def train(source: str, overrides: Sequence[str] = ()) -> str:
    """Train on the dataset of a config; return the run. Raises InputError for a mistake."""
    run: str = _checked(training, source, overrides)
    return run


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
