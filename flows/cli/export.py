"""The verb `export`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, RootOption, RunArgument, StorageOption, storage_options


def export(
    run: RunArgument,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The folder to write.")],
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle of a run: all that `denoise` needs, in one folder."""
    from simlib.location import Location
    from trainlib.named import run_named

    options = storage_options(storage_option)
    place = run_named(run, Location.of(root, options))

    from trainlib.onsky.export import export as export_run  # torch, after a mistake

    place = export_run(place, Location.of(bundle, options))
    print(json.dumps({"bundle": str(place)}) if as_json else place)
