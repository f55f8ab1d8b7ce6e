"""The verb `report`."""

from typing import Annotated

import typer

from flows.cli.options import StorageOption, storage_options


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="Directories of runs.")],
    storage_option: StorageOption = None,
) -> None:
    """Write one self-contained page about one run or several."""
    from trainlib.evaluation.report import write_report

    print(write_report(runs, options=storage_options(storage_option)))
