"""The verb `replay`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    DatasetArgument,
    JsonOption,
    RootOption,
    StorageOption,
    storage_options,
)


def replay(
    store: DatasetArgument,
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="train, validation or test")],
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Number of the row, from 0.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the steps (.nc) and a figure (.png).")
    ] = None,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one row of a dataset again, and show every step on the way."""
    from flows.terminal.tables import print_steps
    from simlib.dataset.named import dataset_named
    from simlib.dataset.replay import replay as replay_row
    from simlib.dataset.replay import scalars_and_medians
    from simlib.location import Location

    place = dataset_named(store, Location.of(root, storage_options(storage_option)))
    steps = replay_row(place, split, index)
    written: list[str] = []
    if out is not None:
        from simlib.dataset.replay_figure import save_replay

        written = [str(path) for path in save_replay(steps, out)]
    scalars, medians = scalars_and_medians(steps)
    if as_json:
        print(json.dumps({"row": scalars, "medians": medians, "written": written}, indent=1))
        return
    units = {str(name): values.attrs.get("units", "") for name, values in steps.items()}
    print_steps(scalars, medians, units)
    print("\n".join(written), end="\n" if written else "")
