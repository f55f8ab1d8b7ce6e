"""The verb `report`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, StorageOption, storage_options


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="Directories of runs.")],
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained page about one run or several, or print its numbers as JSON."""
    from simlib.location import Location
    from trainlib.evaluation.report import report_numbers, write_report

    options = storage_options(storage_option)
    places = [Location.of(run, options) for run in runs]
    print(json.dumps(report_numbers(places), indent=1) if as_json else write_report(places))
