"""The verb `inspect`."""

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


def inspect(
    store: DatasetArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write a figure (.png) and a page (.html)."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page alone, here.")
    ] = None,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a dataset, also while it is written: progress, S/N, parameters, coverage, spectra."""
    from flows.terminal.inspect_text import print_inspection
    from simlib.dataset.inspect import inspect as look
    from simlib.dataset.inspect import summary
    from simlib.dataset.named import dataset_named
    from simlib.location import Location

    seen = look(dataset_named(store, Location.of(root, storage_options(storage_option))))
    written: list[str] = []
    if out is not None or html is not None:
        from simlib.dataset.inspect_page import save_inspection, save_page

        written += [str(path) for path in save_inspection(seen, out)] if out else []
        written += [str(save_page(seen, html))] if html else []
    told = summary(seen) | {"written": written}
    if as_json:
        print(json.dumps(told, indent=1))
        return
    print_inspection(told)
