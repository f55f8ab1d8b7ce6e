"""The verb `cache clear`."""

import json

from flows.cli.options import JsonOption


def clear(as_json: JsonOption = False) -> None:
    """Remove all that the cache holds; what is needed again is made again."""
    from simlib.cache import clear as clear_cache
    from simlib.cache import folder

    gone = clear_cache()
    if as_json:
        print(json.dumps({"folder": str(folder()), **gone}, indent=1))
    else:
        print(f"{gone['files']} files, {gone['bytes'] / 1e6:.1f} MB removed from {folder()}")
