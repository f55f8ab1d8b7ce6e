"""The verb `runs list`."""

import json
from dataclasses import asdict

from flows.cli.options import JsonOption, RootOption, StorageOption, storage_options


def list_runs(
    root: RootOption = "./data", storage_option: StorageOption = None, as_json: JsonOption = False
) -> None:
    """List runs: recipe, dataset, how far each is, and how well it does on validation spectra."""
    from flows.terminal.list_text import print_runs
    from simlib.location import Location
    from trainlib.run_list import list_runs as find

    place = Location.of(root, storage_options(storage_option))
    found = find(place)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        print_runs(found, place)
