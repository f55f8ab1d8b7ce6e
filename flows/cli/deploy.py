"""The verb `deploy`."""

import json
from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def deploy(
    config: ConfigArgument,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Then stay, and tell the server where a table, grid or instrument that the config "
            "names was changed.",
        ),
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the Prefect server when to refresh a config, and by which workers ([deploy]).

    Every night and when a grid has changed; the whole workflow and training on demand.
    """
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before Prefect is loaded

    from threading import Event

    from flows.deployment import register
    from flows.watching import watch as watch_files

    made = register(config, overrides or [])
    told = json.dumps(made, indent=1) if as_json else "\n".join(one["name"] for one in made)
    print(told, flush=True)
    if watch:
        watch_files(config, overrides or [], Event())
