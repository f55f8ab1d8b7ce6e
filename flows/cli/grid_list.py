"""The verb `grid list`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, StorageOption, storage_options


def list_grids(
    root: Annotated[str, typer.Option(help="Where stores are looked for, in grids/.")] = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what `stellar.grid` may name, the stores that are there, and what can be downloaded."""
    from simlib.location import Location
    from simlib.stellar.archive.releases import RELEASES
    from simlib.stellar.grid import KNOWN_GRIDS
    from simlib.stellar.quality.describe import stores_below

    stores = stores_below(Location.of(root, storage_options(storage_option)))
    known = {"embedded": list(KNOWN_GRIDS), "stores": list(map(str, stores))}
    releases = {name: release.source for name, release in RELEASES.items()}
    if as_json:
        print(json.dumps({**known, "releases": releases}, indent=1))
        return
    for kind, names in known.items():
        print(f"{kind}: {', '.join(names) or f'none in {root}/grids'}")
    for name, source in releases.items():
        print(f"to download: {name} ({source})")
