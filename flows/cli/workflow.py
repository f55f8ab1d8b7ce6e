"""Verbs that run the workflow: demo, build, train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import ConfigArgument, SetOption
from simlib.errors import InputError

if TYPE_CHECKING:
    from flows.config import Config


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(demo)
    app.command()(build)
    app.command()(train)


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to keep everything (default ./data).")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Run the whole workflow, small: simulate, train, evaluate, report.

    Uses the embedded figures only. Run again, it goes on where it stopped.
    """
    from flows.config import load_config
    from flows.pipeline import specdenoise

    overrides = [*([f"storage.root={str(out)!r}"] if out else []), *(set_ or [])]
    load_config("demo", overrides)  # a mistake is told before anything starts
    print(specdenoise("demo", overrides).resolve())


def build(
    config: ConfigArgument,
    set_: SetOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Read all that is there, and make again what is damaged."),
    ] = False,
) -> None:
    """Make the dataset of a config: exposure time calculator, fan-out, store; rerun = resume."""
    from flows.config import load_config
    from flows.pipeline import build as flow

    load_config(config, set_ or [])
    print(flow(config, set_ or [], repair))


def train(
    config: ConfigArgument,
    set_: SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with a run that has been begun.")
    ] = False,
) -> None:
    """Train on the dataset of a config, making it first where it is missing.

    A run of the same config that was interrupted goes on from its last checkpoint.
    """
    from flows.config import load_config
    from flows.pipeline import train as flow

    settings = load_config(config, set_ or [])
    if resume:
        _require_begun(settings)
    print(flow(config, set_ or []))


def _require_begun(settings: "Config") -> None:
    """Raise InputError unless the config's run has a checkpoint to go on from."""
    from simlib.dataset.build import published
    from trainlib.runs import CHECKPOINT, run_directory

    dataset = published(settings)
    run = run_directory(settings, dataset.name) if dataset else None
    if run is None or not (Path(run) / CHECKPOINT).is_file():
        raise InputError(
            f"nothing to resume: {run or 'the dataset of this config'} "
            f"{'has no checkpoint' if run else 'is not built'}; leave --resume out to begin"
        )
