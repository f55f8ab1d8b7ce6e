"""The verb `deploy`."""

import json

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def deploy(
    config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Tell the Prefect server when to refresh a config, and by which workers ([deploy]).

    Every night and when a grid has changed; the whole workflow and training on demand.
    """
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before Prefect is loaded

    from flows.deployment import register

    made = register(config, overrides or [])
    print(json.dumps(made, indent=1) if as_json else "\n".join(one["name"] for one in made))
