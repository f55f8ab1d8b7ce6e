"""The verb `etc-grid build`."""

import json

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def build(config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Build and publish the config's grid of terms, unless it is there; print its place."""
    from simlib.config import load_config
    from simlib.etc.grid.store import ensure_terms_grid

    url = str(ensure_terms_grid(load_config(config, overrides or [])))
    print(json.dumps({"url": url}) if as_json else url)
