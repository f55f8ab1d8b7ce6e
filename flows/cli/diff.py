"""The verb `diff`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import (
    DatasetA,
    DatasetB,
    JsonOption,
    RootOption,
    StorageOption,
    storage_options,
)


def diff(
    a: DatasetA,
    b: DatasetB,
    spectra: Annotated[
        int, typer.Option(min=1, metavar="N", help="Read of a split, at most, for its mean.")
    ] = 1024,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets: config, distributions of parameters, mean spectra."""
    from flows.terminal.dataset_text import print_dataset_difference
    from simlib.dataset.compare import compare_datasets
    from simlib.dataset.named import dataset_named
    from simlib.location import Location

    place = Location.of(root, storage_options(storage_option))
    found = compare_datasets(dataset_named(a, place), dataset_named(b, place), spectra)
    if as_json:
        print(json.dumps({**asdict(found), "is_same": found.is_same}, indent=1))
    else:
        print_dataset_difference(found)
