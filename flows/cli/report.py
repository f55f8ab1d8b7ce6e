"""The verb `report`."""

from typing import Annotated

import typer


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="Directories of runs.")],
) -> None:
    """Write one self-contained page about one run or several."""
    from trainlib.evaluation.report import write_report

    print(write_report(runs))
