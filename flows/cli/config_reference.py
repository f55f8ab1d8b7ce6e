"""The verb `config reference`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import JsonOption


def reference(
    key: Annotated[
        str | None, typer.Argument(metavar="SECTION[.KEY]", help="Of one section or key alone.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain every key of a config: meaning, unit, bounds, default."""
    from flows.config_reference import config_reference
    from flows.terminal.config_text import reference_page

    tables = config_reference(key)
    if as_json:
        print(json.dumps([asdict(one) for one in tables], indent=1))
    else:
        print(reference_page(tables), end="")
