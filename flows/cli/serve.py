"""The verb `serve`."""

from flows.cli.options import ConfigArgument, SetOption


def serve(config: ConfigArgument, overrides: SetOption = None) -> None:
    """Run what `deploy` would tell workers to, in processes of this machine, until interrupted.

    Tables, grids and instruments that the config names are watched meanwhile.
    """
    from flows.config import load_config

    load_config(config, overrides or [])  # a mistake is told before Prefect is loaded

    from flows.deployment import serve as serve_until_interrupted

    serve_until_interrupted(config, overrides or [])
