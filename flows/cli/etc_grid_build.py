"""The verb `etc-grid build`."""

import json

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def build(config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Build and publish the config's grid of terms, unless it is there; print its place."""
    from flows.events import tell_grid_changed
    from simlib.config import load_config
    from simlib.dataset.changes import terms_due
    from simlib.etc.grid.store import ensure_terms_grid

    settings = load_config(config, overrides or [])
    is_due = terms_due(settings).is_due
    terms = ensure_terms_grid(settings)
    if is_due:
        tell_grid_changed("terms", terms)
    url = str(terms)
    print(json.dumps({"url": url}) if as_json else url)
