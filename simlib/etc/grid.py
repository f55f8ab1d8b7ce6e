"""The grid of terms over observing conditions: made, kept and read.

It is kept at `<root>/terms/<fingerprint>/terms.zarr`, on any fsspec URL. A store is published by
the `manifest.json` beside it, which is written last: without it the store does not exist,
whatever lies there.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import fsspec
import xarray as xr

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.etc.grid_build import build_terms_grid, terms_fingerprint
from simlib.etc.grid_interpolate import interpolate_terms
from simlib.fingerprint import checksum

__all__ = [
    "build_terms_grid",
    "ensure_terms_grid",
    "interpolate_terms",
    "open_terms_grid",
    "publish_terms_grid",
    "terms_fingerprint",
    "terms_path",
]


def terms_path(root: str, fingerprint: str) -> str:
    """Return the URL of the store of a fingerprint."""
    return f"{root.rstrip('/')}/terms/{fingerprint}/terms.zarr"


def ensure_terms_grid(config: SimulationConfig) -> str:
    """Return the URL of the config's grid of terms, built and published unless it is there."""
    url = terms_path(config.storage.root, terms_fingerprint(config))
    if not is_published(url, config.storage.options):
        publish_terms_grid(build_terms_grid(config), config)
    return url


def is_published(url: str, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Return whether a grid stands complete at this URL."""
    system, path = fsspec.core.url_to_fs(_manifest_of(url), **(storage_options or {}))
    return bool(system.exists(path))


def publish_terms_grid(
    grid: xr.Dataset, config: SimulationConfig, record: Mapping[str, Any] | None = None
) -> str:
    """Write a grid to its place under the config's root, its manifest last; return its URL.

    record: what else the manifest shall say, e.g. the measured errors of interpolation.
    """
    fingerprint = str(grid.attrs["fingerprint"])
    url = terms_path(config.storage.root, fingerprint)
    options = config.storage.options
    grid.to_zarr(url, mode="w", consolidated=False, storage_options=options or None)
    manifest = {
        "fingerprint": fingerprint,
        "checksum": grid_checksum(grid),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "attributes": grid.attrs,
        "config": config.model_dump(include={"instrument", "sky", "conditions", "terms"}),
    } | dict(record or {})
    with fsspec.open(_manifest_of(url), "w", **options) as file:
        json.dump(manifest, file, indent=1)
    return url


def open_terms_grid(url: str, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Return a published grid, whole in memory.

    Raises InputError where there is none or where its bytes are not those that were published.
    """
    if not is_published(url, storage_options):
        raise InputError(f"no terms grid is published at {url}; build it with `etc-grid build`")
    with fsspec.open(_manifest_of(url), "r", **(storage_options or {})) as file:
        expected = json.load(file)["checksum"]
    options = dict(storage_options) if storage_options else None
    grid: xr.Dataset = xr.open_zarr(url, consolidated=False, storage_options=options).load()
    if grid_checksum(grid) != expected:
        raise InputError(f"the terms grid at {url} is damaged: remove it and build it again")
    return grid


def grid_checksum(grid: xr.Dataset) -> str:
    """Return 16 hex digits over all values of a grid."""
    return checksum(*(grid[name].values for name in sorted(map(str, grid.variables))))


def _manifest_of(url: str) -> str:
    return url.rsplit("/", 1)[0] + "/manifest.json"
