"""The verb `refresh`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def refresh(
    config: ConfigArgument,
    overrides: SetOption = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", "--dry-run", help="Only tell what is to be done, and why."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make again what of a config's results is not of its inputs any more, and nothing else.

    Inputs are the config, the content of grids and tables that it names, and this version.
    """
    from flows.config import load_config
    from flows.due import dues, standing

    stages = dues(load_config(config, overrides or []))
    if as_json:
        print(json.dumps([asdict(due) for due in stages], indent=1))
    elif explain:
        from flows.terminal.due_text import print_dues

        print_dues(stages)
    if explain:
        return
    page = standing(stages)
    if page is None:
        from flows.pipeline import specdenoise

        page = str(specdenoise(config, overrides or []))
    if not as_json:
        print(page)
