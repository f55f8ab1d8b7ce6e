"""The whole config: the sections of all layers, and where the fan-out runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, model_validator

from simlib import config as simulation
from simlib.config import Section, Sky, read_tables, validate
from simlib.errors import InputError
from trainlib.config import TrainingConfig, lay_on_recipe


class Cluster(Section):
    """The Dask cluster: one made for the run, or one that is there."""

    kind: Literal["local", "threads"] = "local"  # processes of this machine, or threads of this one
    address: str | None = None  # of a running scheduler, e.g. tcp://10.0.0.1:8786
    workers: PositiveInt | None = None  # None: one a core
    dashboard: str = "127.0.0.1:8787"  # another port is taken where this one is in use

    @model_validator(mode="after")
    def _address_comes_alone(self) -> "Cluster":
        idle = {"kind", "workers", "dashboard"} & self.model_fields_set
        if self.address is not None and idle:
            raise ValueError(
                f"{', '.join(sorted(idle))} cannot act on the running cluster at {self.address}; "
                "remove what is set of it, or remove address"
            )
        return self


class Config(TrainingConfig):
    """Everything a run of the workflow needs to know."""

    cluster: Cluster = Cluster()


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the config of a preset (by name) or of a TOML file (by path).

    overrides: `section.key=value` each. Raises InputError for what cannot be used.
    """
    return validate(Config, lay_on_recipe(read_tables(source, overrides)), f"config {source}")


def load_sky_section(overrides: Sequence[str] = (), tables: str | Path | None = None) -> Sky:
    """Return the section `sky` with overrides of its keys, and a folder of tables.

    Raises InputError for an override of another section.
    """
    wrong = [text for text in overrides if not text.startswith("sky.")]
    if wrong:
        raise InputError(f"--set {wrong[0]!r}: `etc` takes keys of [sky] alone; see its options")
    sky = simulation.load_config("demo", overrides).sky  # the presets leave the sky as it is
    return sky if tables is None else validate(Sky, sky.model_dump() | {"tables": str(tables)})
