"""The whole config: the sections of all layers."""

from collections.abc import Sequence
from pathlib import Path

from flows.cluster_config import Cluster
from flows.deploy_config import Deploy, Launch
from simlib import config as simulation
from simlib.config import NEWEST_INSTRUMENT, Sky, read_tables, validate
from simlib.errors import InputError, shown
from trainlib.config import Gate, TrainingConfig, lay_on_recipe

__all__ = ["Cluster", "Config", "given_config", "load_config", "load_sky_section"]


class Config(TrainingConfig):
    """Everything a run of the workflow needs to know."""

    cluster: Cluster = Cluster()
    gate: Gate = Gate()
    deploy: Deploy = Deploy()
    launch: Launch = Launch()


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the config of a preset (by name) or of a TOML file (by path).

    overrides: `section.key=value` each. Raises InputError for what cannot be used.
    """
    return validate(Config, lay_on_recipe(read_tables(source, overrides)), f"config {source}")


def load_target_config(source: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Return the config for a person's own targets: the newest instrument where none is given.

    A preset or a file names its own. Raises InputError for what cannot be used.
    """
    if source is not None:
        return load_config(source, overrides)
    return load_config("demo", [f"instrument.name={NEWEST_INSTRUMENT}", *overrides])


def load_sky_section(overrides: Sequence[str] = (), tables: str | Path | None = None) -> Sky:
    """Return the section `sky` with overrides of its keys, and a folder of tables.

    Raises InputError for an override of another section.
    """
    wrong = [text for text in overrides if not text.startswith("sky.")]
    if wrong:
        raise InputError(f"--set {wrong[0]!r}: `etc` takes keys of [sky] alone; see its options")
    sky = simulation.load_config("demo", overrides).sky  # the presets leave the sky as it is
    return sky if tables is None else validate(Sky, sky.model_dump() | {"tables": str(tables)})


def given_config(source: str, overrides: Sequence[str]) -> Config:
    """Return the config that was asked for, whatever came from a form. Raises InputError."""
    if not isinstance(source, str) or not source:
        raise InputError(f"source = {shown(source)}: give a preset's name or a file's path")
    if isinstance(overrides, str) or not all(isinstance(one, str) for one in overrides):
        raise InputError(f"overrides = {shown(overrides)}: give a list of section.key=value")
    return load_config(source, overrides)
