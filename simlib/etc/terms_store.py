"""Where the grid of terms is kept, and how it is published.

It is kept at `<root>/terms/<fingerprint>/terms.zarr`, on any fsspec URL. A store is published by
the `manifest.json` beside it, which is written last: without it the store does not exist,
whatever lies there.
"""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.etc.grid_build import build_terms_grid, terms_fingerprint
from simlib.etc.grid_check import GridCheck, check_terms_grid, refuse_a_bad_grid
from simlib.fingerprint import checksum
from simlib.provenance import provenance
from simlib.storage import Options, exists, join, read_json, write_json, zarr_options

ROWS_BEFORE_PUBLISHING = 256


def terms_path(root: str, fingerprint: str) -> str:
    """Return the URL of the store of a fingerprint."""
    return join(root, "terms", fingerprint, "terms.zarr")


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


def is_published(url: str, storage_options: Options | None = None) -> bool:
    """Return whether a grid stands complete at this URL."""
    return exists(_manifest_of(url), storage_options)


def publish_terms_grid(
    grid: xr.Dataset, config: SimulationConfig, record: Mapping[str, Any] | None = None
) -> str:
    """Write a grid to its place under the config's root, its manifest last; return its URL.

    record: what else the manifest shall say, e.g. the measured errors of interpolation.
    """
    fingerprint = str(grid.attrs["fingerprint"])
    url = terms_path(config.storage.root, fingerprint)
    options = config.storage.options
    grid.to_zarr(url, mode="w", consolidated=False, storage_options=zarr_options(url, options))
    manifest = {
        "fingerprint": fingerprint,
        "checksum": grid_checksum(grid),
        **provenance(),
        "attributes": grid.attrs,
        "config": config.model_dump(include={"instrument", "sky", "conditions", "terms"}),
    } | dict(record or {})
    write_json(_manifest_of(url), manifest, options)
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
    write_json(record, check.record(), options)
    return check, record, int(grid.nbytes)


def open_terms_grid(url: str, storage_options: Options | None = None) -> xr.Dataset:
    """Return a published grid, whole in memory.

    Raises InputError where there is none or where its bytes are not those that were published.
    """
    manifest = read_json(_manifest_of(url), storage_options)
    if manifest is None:
        raise InputError(f"no terms grid is published at {url}; build it with `etc-grid build`")
    grid: xr.Dataset = xr.open_zarr(
        url, consolidated=False, storage_options=zarr_options(url, storage_options)
    ).load()
    if grid_checksum(grid) != manifest["checksum"]:
        raise InputError(f"the terms grid at {url} is damaged: remove it and build it again")
    return grid


def grid_checksum(grid: xr.Dataset) -> str:
    """Return 16 hex digits over all values of a grid."""
    return checksum(*(grid[name].values for name in sorted(map(str, grid.variables))))


def _manifest_of(url: str) -> str:
    return _beside(url, "manifest.json")


def _beside(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
