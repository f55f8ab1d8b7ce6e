"""The verb `plan`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def plan(
    config: ConfigArgument,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help="One a core; by default the config's or this machine's, 1,000 for --simulate.",
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", help="Your prices (TOML); else an example's."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Also what 100,000,000 spectra would take.")
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, max=10**12, metavar="N", help="Spectra for --simulate."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a build takes before it begins: size, time, memory, cost; measured here first."""
    from flows.config import load_config

    settings = load_config(config, overrides or [])

    from flows.planning import plan_of
    from flows.terminal.plan_text import print_plan

    told = plan_of(settings, workers, prices, simulate, rows)
    if as_json:
        print(json.dumps(told, indent=1))
        return
    print_plan(told)
