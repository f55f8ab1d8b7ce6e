"""The verb `etc-official`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, SetOption


def etc_official(
    numbers: Annotated[
        Path, typer.Argument(metavar="DIR", help="conditions.csv and etc_upstream_py.npz.")
    ],
    magnitude: Annotated[float, typer.Option(help="AB, of the flat source of the S/N.")] = 22.0,
    sky_tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CSV tables instead of the embedded sky.")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the terms and the S/N with numbers of the official calculator.

    DIR holds its numbers for a list of conditions. Ours over theirs, of the default setting and of
    the nearest one (--convention upstream).
    """
    from flows.config import load_sky_section
    from flows.terminal.tables import print_table
    from simlib.etc.official import SETTINGS, compare_with_official

    found = compare_with_official(numbers, load_sky_section(overrides or [], sky_tables), magnitude)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    title = f"ours over the official calculator's: median of {found.conditions} conditions"
    print_table(title, ("term", *SETTINGS), found.rows())
