"""What a manifest tells of its making: versions, machine, time, commit."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from simlib.processes import usable_cores

_PACKAGES = ("specdenoise", "numpy", "numba", "scipy", "xarray", "zarr", "dask", "torch", "prefect")
_COMPILERS = ("numba", "llvmlite", "numpy")
_DIGITS = 8
# What the hook of some repository tells git to look at, which is not what we ask about.
_OF_A_HOOK = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"}
_HERE = Path(__file__).resolve().parent


def provenance() -> dict[str, Any]:
    """Return versions, host, cores, time and, in a checkout, the commit."""
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "versions": packages | {"python": platform.python_version()},
        "host": platform.node(),
        "cores": usable_cores(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def arithmetic() -> str:
    """Return what decides the last bits of a result: the instruction set, and what compiles for it.

    Where it is the same, the same input gives the same bits; elsewhere the same to 1e-6.
    """
    import numba  # noqa: PLC0415  (most of what tells its provenance compiles nothing)
    from llvmlite import binding  # noqa: PLC0415

    settings: Any = numba.config
    name = settings.CPU_NAME or binding.get_host_cpu_name()
    features = settings.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    digest = hashlib.sha256(features.encode()).hexdigest()[:_DIGITS]
    compilers = " ".join(f"{package} {_version(package)}" for package in _COMPILERS)
    return f"{name} {digest} {compilers}"


def _commit(folder: Path = _HERE) -> str | None:
    """Return the commit of this project's checkout, with `-dirty` for changed files.

    folder: that the package is in. None where it was installed, be it inside another checkout.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != folder.parent:
        return None
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40")


def _git(folder: Path, *command: str) -> str | None:
    environment = {key: value for key, value in os.environ.items() if key not in _OF_A_HOOK}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command],
            capture_output=True, text=True, timeout=10, check=False, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
