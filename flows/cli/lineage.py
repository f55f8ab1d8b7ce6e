"""The verb `lineage`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import JsonOption, RootOption, StorageOption, storage_options


def lineage(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A report, run, results, dataset, release, bundle, file of denoised spectra, grid "
            "of terms, stellar grid or instrument: where it is, or its name.",
        ),
    ],
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what something was made from, step by step, and whether that is still there."""
    from flows.lineage import lineage as lineage_of
    from flows.terminal.dataset_text import print_lineage
    from simlib.location import Location

    found = lineage_of(path, Location.of(root, storage_options(storage_option)))
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        print_lineage(found)
