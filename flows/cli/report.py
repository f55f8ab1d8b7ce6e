"""The verb `report`."""

from typing import Annotated

import typer

from flows.cli.options import RootOption, StorageOption, complete_run, storage_options


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN …", help="Directories or names of runs.", autocompletion=complete_run
        ),
    ],
    root: RootOption = "./data",
    storage_option: StorageOption = None,
) -> None:
    """Write one self-contained page about one run or several."""
    from simlib.location import Location
    from trainlib.named import run_named

    where = Location.of(root, storage_options(storage_option))
    places = [run_named(run, where) for run in runs]

    from trainlib.evaluation.report import write_report  # loads torch, after a mistake is told

    print(write_report(places))
