"""The verb `verify`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import (
    DatasetArgument,
    JsonOption,
    RootOption,
    StorageOption,
    storage_options,
)


def verify(
    store: DatasetArgument,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="How many read at once (default: all cores).")
    ] = None,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read all of a dataset and compare it with its checksums; exit code 1 where it differs."""
    from flows.terminal.progress import item_progress
    from flows.terminal.tables import print_verification
    from simlib.dataset.named import dataset_named
    from simlib.dataset.verify import verify_dataset
    from simlib.location import Location

    place = dataset_named(store, Location.of(root, storage_options(storage_option)))
    with item_progress("verifying", "blocks", "spectra") as progress:
        result = verify_dataset(place, threads, progress)
    if as_json:
        print(json.dumps(asdict(result), indent=1))
    else:
        print_verification(asdict(result))
    if result.problems:
        raise typer.Exit(1)
