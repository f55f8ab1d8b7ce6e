"""The verb `config show`."""

import json
from dataclasses import asdict

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def show(config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show every value of a config and its origin, as a file that means the same.

    Lines that begin with # are defaults.
    """
    from flows.config_values import config_values
    from flows.terminal.config_text import config_file

    values = config_values(config, overrides or [])
    if as_json:
        print(json.dumps([asdict(one) for one in values], indent=1))
    else:
        print(config_file(values), end="")
