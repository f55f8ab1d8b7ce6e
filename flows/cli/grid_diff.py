"""The verb `grid diff`."""

import json
from dataclasses import asdict

from flows.cli.options import GridA, GridB, JsonOption, StorageOption, storage_options


def diff(
    a: GridA,
    b: GridB,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two grids: axes, holes, attributes, rms of every common node."""
    from flows.terminal.grid_text import print_difference
    from simlib.stellar.grid import grid_place, open_grid
    from simlib.stellar.quality.compare import compare_grids

    options = storage_options(storage_option)
    grids = (open_grid(grid_place(name, options)) for name in (a, b))
    difference = compare_grids(*grids)
    if as_json:
        print(json.dumps(asdict(difference), indent=1))
    else:
        print(f"A {a}\nB {b}")
        print_difference(difference)
