"""The verb `prune`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, StorageOption, storage_options


def prune(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="Where all is kept: storage.root.")
    ] = "./data",
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else it is only listed.")] = False,
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Old versions of a dataset that stay.")
    ] = 0,
    older_than: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="HOURS",
            help="What is not finished goes where nothing was written to it for that long.",
        ),
    ] = 24.0,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR", help="Where runs are too, beside ROOT/runs: what they were trained on "
            "stays. May be repeated."
        ),
    ] = None,
    used: Annotated[
        bool, typer.Option("--used", help="Also versions that a run was trained on.")
    ] = False,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """List old versions of datasets, unfinished ones and leftovers; with --yes remove them."""
    from flows.terminal.dataset_text import print_pruning, pruning_facts
    from simlib.dataset.prune import InUse, find_prunable
    from simlib.dataset.prune import prune as remove
    from simlib.location import Location
    from trainlib.in_use import both, datasets_in_use, released_datasets

    options = storage_options(storage_option)
    place = Location.of(root, options)
    folders = [place / "runs", *(Location.of(folder, options) for folder in runs or [])]
    trained_on = InUse() if used else datasets_in_use(folders)
    needed = both(trained_on, released_datasets(place))
    found = find_prunable(place, needed, keep, older_than * 3600.0)
    removed = remove(found) if yes else None
    if as_json:
        print(json.dumps(pruning_facts(found, removed), indent=1))
    else:
        print_pruning(found, removed)
