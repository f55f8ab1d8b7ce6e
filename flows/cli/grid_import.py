"""The verb `grid import`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, StorageOption, limits, storage_options


def import_folder(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of downloaded files.")],
    to: Annotated[str, typer.Option(help="The store: a path ending in .zarr, or a URL.")],
    resolution: Annotated[int | None, typer.Option(help="Where the folder holds several.")] = None,
    carbon: Annotated[float, typer.Option(help="[C/M] of the files to take.")] = 0.0,
    microturbulence: Annotated[float, typer.Option(help="km/s, of the files to take.")] = 2.0,
    window: Annotated[str, typer.Option(metavar="LOW,HIGH", help="nm, vacuum.")] = "670,920",
    workers: Annotated[int | None, typer.Option(help="Threads; by default one a core.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Dask scheduler.")] = None,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a folder of BOSZ files into a store; run again, it does what is left."""
    from flows.cluster import dask_client, threads_or
    from flows.cluster_view import require_seen
    from flows.events import tell_grid_changed
    from flows.terminal.grid_text import print_import
    from flows.terminal.progress import item_progress
    from simlib.location import Location
    from simlib.stellar.archive.import_plan import plan_import
    from simlib.stellar.archive.importing import import_grid

    store = Location.of(to, storage_options(storage_option))
    plan = plan_import(
        path,
        resolution=resolution,
        carbon=carbon,
        microturbulence=microturbulence,
        window=limits("--window", window),
    )
    with (
        dask_client(threads_or(address, workers)) as client,
        item_progress("importing", "files", "files") as show,
    ):
        if address is not None:
            require_seen(client, {"PATH": Location.of(path)}, {"--to": store.parent})
        report = import_grid(plan, store, client, on_progress=show)
    if report.files_read:
        tell_grid_changed("stellar", store)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
    else:
        print_import(report)
