"""Where the grid of terms is kept, and how it is published.

Its folder is `<root>/terms/<fingerprint>`. Whoever builds it writes arrays under a name of its own;
`manifest.json`, which is written last and once, says which are taken: without it nothing is there,
and what it names is never written again.
"""

import logging
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import xarray as xr
from pydantic import Field
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from simlib.artifact import (
    Record,
    create_record,
    read_record,
    reading,
    write_files,
    write_record,
)
from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.etc.grid.build import build_terms_grid, terms_fingerprint
from simlib.etc.grid.check import GridCheck, check_terms_grid, refuse_a_bad_grid
from simlib.etc.sky.model import load_sky
from simlib.fingerprint import checksum, fingerprint
from simlib.instrument import load_instrument
from simlib.location import Location, Place
from simlib.provenance import provenance

log = logging.getLogger(__name__)

ROWS_BEFORE_PUBLISHING = 256


class TermsManifest(Record):
    """What `manifest.json` says of a grid of terms. arrays: the name of the store beside it.

    inputs: the checksums of the instrument and of the sky.
    """

    remedy: ClassVar[str] = "run `specdenoise build CONFIG --repair`, which makes it again"
    fingerprint: str
    arrays: str
    checksum: str
    interpolation: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, str] = Field(default_factory=dict)
    provenance: dict[str, Any]


class CheckRecord(Record):
    """What `check.json` says: how far interpolated terms are from direct ones."""

    interpolation: dict[str, Any]


def terms_folder(config: SimulationConfig) -> Location:
    """Return where the config's grid of terms belongs."""
    return config.root / "terms" / terms_fingerprint(config)


def ensure_terms_grid(config: SimulationConfig, repair: bool = False) -> Location:
    """Return the folder of the config's grid of terms, built and published unless it is there.

    repair: what is there is read, and removed where it is damaged. Raises InputError for a grid
    whose interpolation is off by more than `terms.tolerance`.
    """
    folder = terms_folder(config)
    if repair:
        _remove_damaged(folder)
    if not is_published(folder):
        grid = build_terms_grid(config)
        check = check_terms_grid(grid, config, rows=ROWS_BEFORE_PUBLISHING)
        refuse_a_bad_grid(check)
        publish_terms_grid(grid, config, check.record())
    return folder


def _remove_damaged(folder: Location) -> None:
    try:
        if is_published(folder):
            open_terms_grid(folder)
    except InputError as error:
        log.warning("%s", error)
        folder.remove()


def is_published(place: Place) -> bool:
    """Return whether a grid stands complete in this folder."""
    return read_record(_manifest_of(Location.of(place)), TermsManifest) is not None


def publish_terms_grid(
    grid: xr.Dataset, config: SimulationConfig, interpolation: Mapping[str, Any] | None = None
) -> Location:
    """Write a grid to its folder under the config's root, its manifest last; return the folder.

    interpolation: its measured errors, for the manifest. Of several that publish at once one is
    taken; what is published already is left as it is.
    """
    folder = terms_folder(config)
    if is_published(folder):
        return folder
    sums, arrays = grid_checksum(grid), f"terms-{uuid.uuid4().hex[:12]}.zarr"
    held: dict[str, Buffer] = {}  # written from there at once: behind a URL each file is a wait
    grid.to_zarr(MemoryStore(held), mode="w", consolidated=False)
    write_files(folder / arrays, {name: data.to_bytes() for name, data in held.items()})
    _read_arrays(folder / arrays, sums)
    manifest = TermsManifest(
        fingerprint=str(grid.attrs["fingerprint"]),
        arrays=arrays,
        checksum=sums,
        interpolation=dict(interpolation or {}),
        config=config.model_dump(include={"instrument", "sky", "conditions", "terms"}),
        inputs={
            "instrument": load_instrument(config.instrument.name).checksum,
            "sky": load_sky(config.sky).checksum,
        },
        provenance=provenance(),
    )
    if create_record(_manifest_of(folder), manifest).arrays != arrays:
        (folder / arrays).remove()
    return folder


def check_and_record(
    config: SimulationConfig, rows: int, seed: int
) -> tuple[GridCheck, Location, int]:
    """Check the config's grid, published or not yet; store the result beside it.

    Returns the check, where its record stands, and the grid's size in bytes.
    """
    folder = terms_folder(config)
    grid = open_terms_grid(folder) if is_published(folder) else build_terms_grid(config)
    check = check_terms_grid(grid, config, rows, seed)
    write_record(folder / "check.json", CheckRecord(interpolation=check.record()))
    return check, folder / "check.json", int(grid.nbytes)


def open_terms_grid(place: Place) -> xr.Dataset:
    """Return a published grid, whole in memory.

    Raises InputError where there is none or where its bytes are not those that were published.
    """
    folder = Location.of(place)
    manifest = read_record(_manifest_of(folder), TermsManifest)
    if manifest is None:
        raise InputError(f"no terms grid is published at {folder}; build it with `etc-grid build`")
    return _read_arrays(folder / manifest.arrays, manifest.checksum)


def _read_arrays(arrays: Location, expected: str) -> xr.Dataset:
    with reading(arrays, TermsManifest.remedy):
        # Not through Dask: a worker's task that computed a Dask array would wait for its scheduler.
        grid: xr.Dataset = xr.open_zarr(_in_memory(arrays), chunks=None, consolidated=False).load()
        found = grid_checksum(grid)
    if found != expected:
        raise InputError(f"the terms grid at {arrays} is damaged; {TermsManifest.remedy}")
    return grid


def _in_memory(arrays: Location) -> MemoryStore:
    """Return a store that holds these arrays, their files read at once."""
    buffer = default_buffer_prototype().buffer
    files = arrays.read_files(arrays.sizes())
    held = {name: buffer.from_bytes(data) for name, data in files.items()}
    return MemoryStore(held, read_only=True)


def grid_checksum(grid: xr.Dataset) -> str:
    """Return 16 hex digits over all that a grid says: values, names, dimensions, attributes."""
    names = sorted(map(str, grid.variables))
    return fingerprint(
        [[name, list(grid[name].dims), checksum(grid[name].values)] for name in names],
        dict(grid.attrs),
    )


def _manifest_of(folder: Location) -> Location:
    return folder / "manifest.json"
