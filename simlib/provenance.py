"""What a manifest tells of its making: versions, machine, time, commit."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("specdenoise", "numpy", "numba", "scipy", "xarray", "zarr", "dask", "torch", "prefect")


def provenance() -> dict[str, Any]:
    """Return versions, host, cores, time and, in a checkout, the commit."""
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "versions": packages | {"python": platform.python_version()},
        "host": platform.node(),
        "cores": len(os.sched_getaffinity(0)),
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
