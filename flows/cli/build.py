"""The verb `build`."""

from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, SetOption


def build(
    config: ConfigArgument,
    overrides: SetOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Read all that is there, and make again what is damaged."),
    ] = False,
) -> None:
    """Make the dataset of a config: exposure time calculator, fan-out, store; rerun = resume."""
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before Dask and Prefect are loaded

    from flows.due import standing_dataset

    if not repair and (folder := standing_dataset(config, overrides or [])) is not None:
        print(folder)
        return

    from flows.building import build as run

    print(run(config, overrides or [], repair))
