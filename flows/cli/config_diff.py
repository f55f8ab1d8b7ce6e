"""The verb `config diff`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import JsonOption

_HELP = "A preset, a file, or the config.toml of a run."


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help=_HELP)],
    as_json: JsonOption = False,
) -> None:
    """Compare two configs, all values resolved."""
    from flows.config_values import config_difference
    from flows.terminal.config_text import print_config_difference

    found = config_difference(a, b)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        print_config_difference(found)
