"""The verb `dataset list`."""

import json
from dataclasses import asdict

from flows.cli.options import JsonOption, RootOption, StorageOption, storage_options


def list_all(
    root: RootOption = "./data", storage_option: StorageOption = None, as_json: JsonOption = False
) -> None:
    """List datasets and their versions: which is published, rows, size, when made."""
    from flows.terminal.list_text import print_datasets
    from simlib.dataset.catalogue import list_datasets
    from simlib.location import Location

    place = Location.of(root, storage_options(storage_option))
    found = list_datasets(place)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        print_datasets(found, place)
