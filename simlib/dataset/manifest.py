"""Where a dataset came from: fingerprints, versions, machine, and publishing it.

A dataset exists for its readers from the moment its manifest is there, which is written last.
"""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xarray as xr

from simlib.config import SimulationConfig
from simlib.etc.grid import terms_fingerprint
from simlib.fingerprint import fingerprint, plain
from simlib.parameters import COLUMN
from simlib.stellar.grid import grid_fingerprint

# Raised by hand when the simulator's results change; a test with golden values guards it.
PHYSICS_VERSION = 1

_PACKAGES = ("specdenoise", "numpy", "numba", "scipy", "xarray", "zarr", "dask", "torch", "prefect")


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


def provenance() -> dict[str, Any]:
    """Return versions, host, time and, in a checkout, the commit."""
    return {
        "versions": {name: _version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "host": platform.node(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the checkout this file is in, with `-dirty` for changed files."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
