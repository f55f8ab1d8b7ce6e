"""The verb `grid info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import GridArgument, JsonOption, StorageOption, storage_options


def info(
    name: GridArgument,
    figure: Annotated[Path | None, typer.Option(help="Draw the coverage: PNG, PDF, SVG.")] = None,
    quality: Annotated[
        bool, typer.Option(help="Predict left-out nodes; reads the whole grid.")
    ] = True,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Judge it by what is known of cool stars.")
    ] = False,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show axes, resolution, holes, size, provenance and interpolation error of a grid."""
    from flows.terminal.grid_text import print_description
    from simlib.stellar.grid import grid_place, open_grid
    from simlib.stellar.quality.describe import describe_grid

    place = grid_place(name, storage_options(storage_option))
    grid = open_grid(place)
    description = describe_grid(grid, place, with_quality=quality, with_sanity=sanity)
    if figure is not None:
        from simlib.stellar.quality.coverage_figure import draw_coverage

        draw_coverage(grid, figure)
        description["figure"] = str(figure)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_description(description)
