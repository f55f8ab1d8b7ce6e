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

    Inputs are the config, the content of grids and tables that it names, and this version. What is
    new is released where it passes the gate ([gate]); what is released stays until then.
    """
    from flows.config import load_config
    from flows.due import refresh_dues

    stages = refresh_dues(load_config(config, overrides or []))
    if explain:
        from flows.terminal.due_text import print_dues

        told = [asdict(due) for due in stages]
        print(json.dumps(told, indent=1)) if as_json else print_dues(stages)
        return
    outcome = "nothing was due"
    if any(due.is_due for due in stages):
        from flows.pipeline import refresh as run

        done = run(config, overrides or [])
        outcome = done.outcome
        if as_json:
            print(done.model_dump_json(indent=1))
            return
    print(json.dumps({"outcome": outcome, "stages": []}) if as_json else outcome)
