"""The verb `cache info`."""

import json

from flows.cli.options import JsonOption


def info(as_json: JsonOption = False) -> None:
    """Show where the cache is, how large it is and may grow, and what it holds."""
    from flows.terminal.tables import print_cache
    from simlib.cache import describe

    description = describe()
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_cache(description)
