"""The verb `report`."""

from typing import Annotated

import typer

from flows.cli.options import StorageOption, storage_options


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="Directories of runs.")],
    storage_option: StorageOption = None,
) -> None:
    """Write one self-contained page about one run or several."""
    from simlib.location import Location
    from trainlib.evaluation.report import write_report

    options = storage_options(storage_option)
    print(write_report([Location.of(run, options) for run in runs]))
