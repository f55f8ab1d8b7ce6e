"""Verbs that run the workflow: demo, build, train."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, SetOption


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


def build(config: ConfigArgument, set_: SetOption = None) -> None:
    """Make the dataset of a config: exposure time calculator, fan-out, store; rerun = resume."""
    from flows.config import load_config
    from flows.pipeline import build as flow

    load_config(config, set_ or [])
    print(flow(config, set_ or []))


def train(
    config: ConfigArgument,
    set_: SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of this config (always done).")
    ] = False,
) -> None:
    """Train on the dataset of a config, making it first where it is missing."""
    from flows.config import load_config
    from flows.pipeline import train as flow

    load_config(config, set_ or [])
    print(flow(config, set_ or []))
