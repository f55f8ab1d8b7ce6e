"""The verb `export`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, RunArgument, StorageOption, storage_options


def export(
    run: RunArgument,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The folder to write.")],
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle of a run: all that `denoise` needs, in one folder."""
    from simlib.location import Location
    from trainlib.onsky.export import export as export_run

    options = storage_options(storage_option)
    place = export_run(Location.of(run, options), Location.of(bundle, options))
    print(json.dumps({"bundle": str(place)}) if as_json else place)
