"""Where the grid of terms is kept, and how it is published.

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
from simlib.etc.grid_check import GridCheck, check_terms_grid, refuse_a_bad_grid
from simlib.fingerprint import checksum

ROWS_BEFORE_PUBLISHING = 256


def terms_path(root: str, fingerprint: str) -> str:
    """Return the URL of the store of a fingerprint."""
    return f"{root.rstrip('/')}/terms/{fingerprint}/terms.zarr"


def ensure_terms_grid(config: SimulationConfig) -> str:
    """Return the URL of the config's grid of terms, built and published unless it is there.

    Raises InputError for a grid whose interpolation is off by more than `terms.tolerance`.
    """
    url = terms_path(config.storage.root, terms_fingerprint(config))
    if not is_published(url, config.storage.options):
        grid = build_terms_grid(config)
        check = check_terms_grid(grid, config, rows=ROWS_BEFORE_PUBLISHING)
        refuse_a_bad_grid(check)
        publish_terms_grid(grid, config, {"interpolation": check.record()})
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


def check_and_record(config: SimulationConfig, rows: int, seed: int) -> tuple[GridCheck, str, int]:
    """Check the config's grid, published or not yet; store the result beside it.

    Returns the check, where its record stands, and the grid's size in bytes.
    """
    url = terms_path(config.storage.root, terms_fingerprint(config))
    options = config.storage.options
    there = is_published(url, options)
    grid = open_terms_grid(url, options) if there else build_terms_grid(config)
    check = check_terms_grid(grid, config, rows, seed)
    record = _beside(url, "check.json")
    system, path = fsspec.core.url_to_fs(record, **options)
    system.makedirs(system._parent(path), exist_ok=True)
    with system.open(path, "w") as file:
        json.dump(check.record(), file, indent=1)
    return check, record, int(grid.nbytes)


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
    return _beside(url, "manifest.json")


def _beside(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
