"""Options that several verbs share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from simlib.errors import InputError
from simlib.secrets import refuse_secrets

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A preset (tiny, demo, survey, paper) or a file.")
]
GridArgument = Annotated[str, typer.Argument(metavar="GRID", help="default, or a store's path.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's directory.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value; may be repeated."),
]
StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For the file system of a URL, as storage.options of a config; may be repeated.",
    ),
]
RootOption = Annotated[
    str, typer.Option("--root", metavar="ROOT", help="Where names are looked for.")
]
FiguresOption = Annotated[
    Path | None, typer.Option("--figures", metavar="DIR", help="Write figures here, as PNG.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def limits(option: str, text: str) -> tuple[float, float]:
    """Return the range that an option gives as LOW,HIGH or as one number; InputError otherwise."""
    from simlib.text_files import number

    try:
        low, high = [number(part.strip()) for part in text.split(",")] * (1 if "," in text else 2)
    except ValueError:
        raise InputError(f"{option} {text!r}: write LOW,HIGH, for example 3500,7000") from None
    if not low <= high:
        raise InputError(f"{option} {text!r}: the first is the lower one")
    return low, high


def storage_options(given: list[str] | None) -> dict[str, Any]:
    """Return options for fsspec; a value is JSON (true, 5, {…}) or else text.

    Raises InputError, without the value, for what is no KEY=VALUE, and for a secret.
    """
    options = {}
    for number, text in enumerate(given or [], start=1):
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(
                f"--storage-option number {number} has no KEY=VALUE; write for example "
                "--storage-option endpoint_url=https://…"
            )
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return refuse_secrets(options)
