"""The verb `dataset info`."""

import json

from flows.cli.options import (
    DatasetArgument,
    JsonOption,
    RootOption,
    StorageOption,
    storage_options,
)


def info(
    dataset: DatasetArgument,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is recorded of a dataset: rows, size, making, config; `inspect` looks inside."""
    from flows.terminal.list_text import print_dataset
    from simlib.dataset.catalogue import describe_dataset
    from simlib.dataset.named import dataset_named
    from simlib.location import Location

    place = Location.of(root, storage_options(storage_option))
    found = describe_dataset(dataset_named(dataset, place))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_dataset(found)
