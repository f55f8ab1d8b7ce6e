"""What identifies a dataset: the fingerprint of all that shapes its spectra, and its config."""

from typing import Any

import xarray as xr

from simlib.config import SimulationConfig
from simlib.etc.grid import terms_fingerprint
from simlib.fingerprint import fingerprint, plain
from simlib.parameters import COLUMN
from simlib.physics import PHYSICS_VERSION
from simlib.stellar.grid import grid_fingerprint


def dataset_fingerprint(config: SimulationConfig, grid: xr.Dataset) -> str:
    """Return what identifies the spectra, not how they are stored or where they were made."""
    data = config.dataset
    return fingerprint(
        PHYSICS_VERSION,
        COLUMN,
        [data.seed, data.n_train, data.n_validation, data.n_test],
        terms_fingerprint(config),
        config.terms.source,
        config.conditions,
        config.stellar.model_dump(exclude={"grid"}),
        grid_fingerprint(grid),
        config.noise,
        config.normalize,
    )


def public_config(config: SimulationConfig) -> dict[str, Any]:
    """Return a config as plain data, without what may hold a secret."""
    tables: dict[str, Any] = plain(config.model_dump(exclude={"storage": {"options"}}))
    return tables
