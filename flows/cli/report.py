"""The verb `report`."""

import json
from typing import Annotated

import typer

from flows.cli.options import (
    JsonOption,
    RootOption,
    StorageOption,
    complete_run,
    storage_options,
)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN …", help="Directories or names of runs.", autocompletion=complete_run
        ),
    ],
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained page about one run or several, or print its numbers as JSON."""
    from simlib.location import Location
    from trainlib.named import run_named

    where = Location.of(root, storage_options(storage_option))
    places = [run_named(run, where) for run in runs]

    # loads torch, after a mistake is told
    from trainlib.evaluation.report import report_numbers, write_report

    print(json.dumps(report_numbers(places), indent=1) if as_json else write_report(places))
