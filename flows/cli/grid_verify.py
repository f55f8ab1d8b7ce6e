"""The verb `grid verify`."""

import json
from dataclasses import asdict

import typer

from flows.cli.options import GridArgument, JsonOption, StorageOption, storage_options


def verify(
    name: GridArgument, storage_option: StorageOption = None, as_json: JsonOption = False
) -> None:
    """Compare every node of a grid with its digest; exit code 1 where one differs."""
    from flows.terminal.grid_text import print_verification
    from simlib.stellar.grid import grid_place, open_grid
    from simlib.stellar.quality.verify import verify_grid

    result = verify_grid(open_grid(grid_place(name, storage_options(storage_option))))
    if as_json:
        print(json.dumps(asdict(result), indent=1))
    else:
        print_verification(result)
    if result.damaged or result.problems:
        raise typer.Exit(1)
