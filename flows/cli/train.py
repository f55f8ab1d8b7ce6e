"""The verb `train`."""

from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, SetOption


def train(
    config: ConfigArgument,
    overrides: SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with a run that has been begun.")
    ] = False,
) -> None:
    """Train on the dataset of a config, making it first where it is missing.

    A run of the same config that was interrupted goes on from its last checkpoint.
    """
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before torch and Prefect are loaded

    from flows.due import standing_run

    if (directory := standing_run(config, overrides or [])) is not None:
        print(directory)
        return

    from flows.pipeline import require_begun
    from flows.pipeline import train as run

    if resume:
        require_begun(config, overrides or [])
    print(run(config, overrides or []))
