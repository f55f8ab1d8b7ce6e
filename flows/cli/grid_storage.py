"""Options for the file system of a URL, given on the command line; they may be secret."""

import json
from typing import Annotated, Any

import typer

from simlib.errors import InputError

StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For the file system of a URL, as in [storage] options; may be repeated.",
    ),
]


def storage_options(given: list[str] | None) -> dict[str, Any]:
    """Return options for fsspec; a value is JSON (true, 5, {…}) or else text.

    Raises InputError, without the value, for what is no KEY=VALUE.
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
    return options
