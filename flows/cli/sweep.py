"""The verb `sweep`."""

from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def sweep(
    config: ConfigArgument,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="SECTION.KEY=VALUES",
            help="V1,V2,… or, for --random, also LOW..HIGH; may be repeated.",
        ),
    ],
    random: Annotated[
        int | None,
        typer.Option("--random", min=1, metavar="N", help="So many trials by lot; else all."),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0.0, metavar="SECONDS", help="Of training, all together."),
    ] = None,
    halving: Annotated[
        bool, typer.Option("--halving", help="Train on only the better third, again and again.")
    ] = False,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="On the workers of [cluster].")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train with some values varied, and tell which do best; run again, it goes on.

    Each trial is an ordinary run. The table is kept beside the runs.
    """
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before torch and Prefect are loaded

    from flows.pipeline import sweep as run
    from flows.terminal.sweep_text import print_sweep

    place, table = run(config, overrides or [], over, random, budget, halving, side_by_side)
    if as_json:
        print(table.model_dump_json(indent=1))
    else:
        print_sweep(place, table)
