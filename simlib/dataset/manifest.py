"""What identifies a dataset, and the manifest that says so: all that shapes its spectra."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from simlib.artifact import FORMAT_VERSION, Record
from simlib.config import SimulationConfig
from simlib.dataset.plan import REPAIR, Plan
from simlib.etc.grid.build import terms_inputs
from simlib.fingerprint import checksum, fingerprint, plain
from simlib.location import Location
from simlib.parameters import COLUMN
from simlib.photometry import load_band
from simlib.physics import PHYSICS_VERSION
from simlib.stellar.grid import grid_fingerprint

Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Summary(BaseModel):
    """What the records of all blocks say together.

    checksum: of all values. files, bytes: of the store of arrays, metadata included.
    core_seconds: of computing and writing. planned_…: what was told before the first block.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    checksum: str
    fraction_impossible_geometries: float
    pixels_above_one: NonNegativeInt
    files: PositiveInt
    bytes: PositiveInt
    planned_bytes: PositiveInt
    core_seconds: float
    planned_core_seconds: float


class Begun(Record):
    """What `parts/config.json` says of a store while it is made; config, terms: as in a manifest.

    Whoever looks at an unfinished store draws its rows' parameters with it.
    """

    remedy: ClassVar[str] = REPAIR
    config: dict[str, Any]
    terms: str


class Manifest(Record):
    """What `manifest.json` says; it is written last, and makes a dataset complete.

    inputs: all that shaped the spectra, of which `fingerprint` is. config: its paths within the
    root as the way from the dataset's folder, as `terms` is.
    template: the digest of each file of metadata or coordinates. row_files: of each of what has
    one value a row. arithmetic: of all its makers. blocks: None where no spectra are stored.
    seconds: of the run that finished it.
    """

    remedy: ClassVar[str] = REPAIR
    fingerprint: Fingerprint
    mode: Literal["stored", "virtual", "endless"]
    physics_version: int
    inputs: dict[str, dict[str, Any]]
    plan: Plan
    rows: PositiveInt
    config: dict[str, Any]
    terms: str
    stellar_grid: dict[str, str | int | float]
    arithmetic: tuple[str, ...]
    template: dict[str, str]
    row_files: dict[str, str]
    blocks: Summary | None
    seconds: float
    provenance: dict[str, Any]


def dataset_inputs(config: SimulationConfig, grid: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return all that shapes the spectra, in sections: config keys, versions, checksums of content.

    Not how they are stored or where they were made.
    """
    band = load_band(config.stellar.band)
    sections = {
        "version": {"version of formats": FORMAT_VERSION, "version of physics": PHYSICS_VERSION},
        "terms": {**terms_inputs(config), "terms.source": config.terms.source},
        "stellar grid": {"content of stellar.grid": grid_fingerprint(grid)},
        "draw": {
            "columns of random numbers": fingerprint(COLUMN),
            **config.leaves("dataset", but={"name", "block", "chunk", "mode"}),
            **config.leaves("conditions"),
            **config.leaves("stellar", but={"grid", "band"}),
        },
        "scale": {
            "content of stellar.band": checksum(band.wavelength_nm, band.response),
            **config.leaves("normalize"),
        },
        "noise": config.leaves("noise"),
    }
    found: dict[str, dict[str, Any]] = plain(sections)
    return found


def dataset_fingerprint(config: SimulationConfig, grid: xr.Dataset) -> str:
    """Return what identifies the spectra."""
    return fingerprint(dataset_inputs(config, grid))


def summary_checksum(blocks: Sequence[str]) -> str:
    """Return the checksum of all values, of those of the blocks in order."""
    return fingerprint(list(blocks))


def portable_config(config: SimulationConfig, folder: Location) -> dict[str, Any]:
    """Return a config as plain data that can move with its root, without the storage options.

    Paths within the root become the way from the dataset's folder; options may hold a secret.
    """
    root = config.root
    tables = plain(config.model_dump(exclude={"storage": {"options"}}))

    def way(text: str) -> str:
        is_within = text == root.url or text.startswith(f"{root.url}/")
        return config.place(text).relative_to(folder) if is_within else text

    moved: dict[str, Any] = _each_text(tables, way)
    return moved


def config_tables(manifest: Manifest | Begun, folder: Location) -> dict[str, Any]:
    """Return the simulation's tables of a manifest's config, its paths from where it is now."""

    def place(text: str) -> str:
        return folder.follow(text).url if text.startswith("../") else text

    tables = _each_text(manifest.config, place)
    known = {name: tables[name] for name in SimulationConfig.model_fields if name in tables}
    return known | {"storage": known.get("storage", {}) | {"options": folder.options}}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
