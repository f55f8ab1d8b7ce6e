"""Options for the file system of a URL, given on the command line; they may be secret."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer

from simlib.errors import InputError

Arguments = ParamSpec("Arguments")

StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For the file system of a URL, as storage.options of a config; may be repeated.",
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


def explain_refusal(verb: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Return the verb with a refused access as a person's mistake, not as a fault of ours."""

    @wraps(verb)
    def explained(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except PermissionError as error:
            raise InputError(
                f"access refused ({error}); for a URL give credentials with --storage-option "
                "KEY=VALUE or in the environment, else choose a place that you may write"
            ) from None

    return explained
