"""The verb `rollback`."""

from typing import Annotated

import typer

from flows.cli.options import JsonOption, RootOption, StorageOption, storage_options


def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a dataset that was released.")],
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release again what was released before: dataset, run and bundle, in one step."""
    from simlib.location import Location
    from trainlib.rollback import roll_back

    holds = roll_back(Location.of(root, storage_options(storage_option)), name)
    parts = (holds.dataset, holds.run, holds.bundle)
    told = " · ".join(part.place for part in parts if part)
    print(holds.model_dump_json(indent=1) if as_json else f"release {holds.number}: {told}")
