"""The verb `report`."""

import json

from flows.cli.options import (
    JsonOption,
    RootOption,
    RunsArgument,
    StorageOption,
    storage_options,
)


def report(
    runs: RunsArgument,
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
