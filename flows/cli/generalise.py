"""The verb `generalise`."""

import json
from typing import Annotated

import typer

from flows.cli.options import (
    JsonOption,
    RootOption,
    RunsArgument,
    StorageOption,
    storage_options,
)


def generalise(
    runs: RunsArgument,
    spectra: Annotated[int, typer.Option("--spectra", min=1, help="Of every kind.")] = 512,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test a network on spectra unlike its training set; further runs on the same ones."""
    from flows.terminal.tables import print_generalisation
    from simlib.location import Location
    from trainlib.named import run_named

    where = Location.of(root, storage_options(storage_option))
    places = [run_named(run, where) for run in runs]

    from trainlib.evaluation.generalise import generalise_all  # torch, after a mistake

    found = generalise_all(places, spectra)
    if as_json:
        print(json.dumps({"runs": found}, indent=1))
    else:
        for one in found:
            print_generalisation(one)
