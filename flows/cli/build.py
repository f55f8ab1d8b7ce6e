"""The verb `build`."""

from flows.cli.options import ConfigArgument, SetOption


def build(config: ConfigArgument, overrides: SetOption = None) -> None:
    """Make the dataset of a config: exposure time calculator, fan-out, store; rerun = resume."""
    from flows.pipeline import build as run

    print(run(config, overrides or []))
