"""Look at a dataset, also while it is being written: how far it is, and what is in it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig, validate
from simlib.dataset.find import find_dataset
from simlib.dataset.layout import PIXEL_VARIABLES, ROW_VARIABLES, template_names
from simlib.dataset.manifest import Begun, Manifest, config_tables
from simlib.dataset.node_use import NodeUse, node_use
from simlib.dataset.open import open_dataset
from simlib.dataset.places import arrays_in, begun_in, plan_in
from simlib.dataset.plan import Block, BlockRecord, Plan
from simlib.dataset.rows import Recipe
from simlib.dataset.shards import ShardedArray
from simlib.dataset.store import readable, records_of
from simlib.dataset.stored import open_arrays
from simlib.errors import InputError
from simlib.location import Location, Place

MOST_ROWS = 2**20  # of a split, that are looked at: a row's number says nothing of what it holds
MOST_COMPUTED = 4096  # the same where a row is made when it is looked at
SPECTRA = 9
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_RECENT = 64  # blocks, from which the rate is taken: a pause before them says nothing
_SEED = 1  # of which spectra are shown, and of the noise that is drawn on them


@dataclass(frozen=True)
class Progress:
    """How far a store is; rows_per_s of the newest blocks, by when their records were written.

    None where that cannot be told: of fewer than two blocks, or where no time is kept.
    """

    blocks: int
    of_blocks: int
    rows: int
    of_rows: int
    rows_per_s: float | None
    rows_per_core_s: float | None
    newest: float | None  # seconds since 1970

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this rate."""
        return (self.of_rows - self.rows) / self.rows_per_s if self.rows_per_s else None


@dataclass(frozen=True)
class Inspection:
    """What was seen of a dataset.

    manifest: None while it is being written. rows: the row variables of the rows looked at, by
    split; where the config of an unfinished store is not known, S/N and scale alone. spectra: a
    few, with their row variables, a drawn `noisy`, and `split` and `row`. use: None where the
    stellar grid cannot be opened here; then `why_not` tells.
    """

    folder: Location
    manifest: Manifest | None
    plan: Plan
    progress: Progress
    rows: dict[str, xr.Dataset]
    spectra: xr.Dataset | None
    use: NodeUse | None
    why_not: str
    files: int
    bytes: int
    impossible_geometries: int | None
    pixels_above_one: int | None


def inspect(place: Place) -> Inspection:
    """Look at a dataset, complete or not.

    Raises InputError where there is none, or where its manifest or plan cannot be used.
    """
    folder, manifest = find_dataset(place)
    plan = manifest.plan if manifest else readable(plan_in(folder), Plan)
    if plan is None:
        raise InputError(f"{plan_in(folder)} cannot be read; {Plan.remedy}")
    records = records_of(folder, plan)
    begun = manifest or readable(begun_in(folder), Begun)
    config, why_not = _config_of(folder, begun)
    rows = (
        {split: _published_rows(folder, manifest, split) for split in plan.rows}
        if manifest
        else _rows_so_far(plan, records, _recipe(config, folder, begun))
    )
    use, why_not = _use_of(config, rows, why_not)
    sizes = folder.sizes()
    return Inspection(
        folder=folder,
        manifest=manifest,
        plan=plan,
        progress=_progress(folder, plan, records, manifest),
        rows=rows,
        spectra=_spectra(folder, manifest, rows),
        use=use,
        why_not=why_not,
        files=len(sizes),
        bytes=sum(sizes.values()),
        **_counts(plan, records, manifest),
    )


def _config_of(
    folder: Location, begun: Manifest | Begun | None
) -> tuple[SimulationConfig | None, str]:
    if begun is None:
        return None, "the config that it is made of is not kept beside it"
    try:
        return validate(SimulationConfig, config_tables(begun, folder)), ""
    except InputError as error:
        return None, str(error)


def _recipe(
    config: SimulationConfig | None, folder: Location, begun: Manifest | Begun | None
) -> Recipe | None:
    return Recipe(config, folder.follow(begun.terms)) if config and begun else None


def _published_rows(folder: Location, manifest: Manifest, split: str) -> xr.Dataset:
    data = open_dataset(folder, split)
    most = MOST_ROWS if manifest.mode == "stored" else MOST_COMPUTED
    first = min(data.sizes["spectrum"], most)
    looked_at = data[list(ROW_VARIABLES)].isel(spectrum=slice(0, first)).load()
    return looked_at.assign_coords(spectrum=np.arange(first))


def _rows_so_far(
    plan: Plan, records: Mapping[str, BlockRecord], recipe: Recipe | None
) -> dict[str, xr.Dataset]:
    parts: dict[str, list[xr.Dataset]] = {}
    for block in plan.blocks():
        known = parts.setdefault(block.split, [])
        if (record := records.get(block.name)) is not None and _size(known) < MOST_ROWS:
            known.append(_rows_of(block, record, recipe))
    return {split: xr.concat(known, "spectrum") for split, known in parts.items() if known}


def _size(known: list[xr.Dataset]) -> int:
    return sum(part.sizes["spectrum"] for part in known)


def _rows_of(block: Block, record: BlockRecord, recipe: Recipe | None) -> xr.Dataset:
    numbers = np.arange(block.start, block.stop)
    made = {name: ("spectrum", values) for name, values in record.simulated().items()}
    table = xr.Dataset(made, coords={"spectrum": numbers})
    if recipe is None:
        return table
    try:
        return recipe.drawn(block.split, block.start, block.stop).assign(table)
    except InputError:  # the grid is not to be had here, which `why_not` tells
        return table


def _use_of(
    config: SimulationConfig | None, rows: Mapping[str, xr.Dataset], why_not: str
) -> tuple[NodeUse | None, str]:
    drawn = [table for table in rows.values() if "teff" in table]
    if config is None:
        return None, why_not
    try:
        grid = Recipe(config, config.root).grid
    except InputError as error:
        return None, str(error)
    return (node_use(grid, drawn), "") if drawn else (None, "no rows yet")


def _progress(
    folder: Location, plan: Plan, records: Mapping[str, BlockRecord], manifest: Manifest | None
) -> Progress:
    blocks, of_rows = list(plan.blocks()), sum(plan.rows.values())
    if manifest is not None:
        return Progress(len(blocks), len(blocks), of_rows, of_rows, None, None, None)
    done = {name: record.stop - record.start for name, record in records.items()}
    spent = sum(one.seconds_computing + one.seconds_writing for one in records.values())
    when = sorted((at, done[name]) for name, at in _times_of(folder).items() if name in done)
    recent = when[-_RECENT:]
    passed = recent[-1][0] - recent[0][0] if recent else 0.0
    return Progress(
        blocks=len(done),
        of_blocks=len(blocks),
        rows=sum(done.values()),
        of_rows=of_rows,
        rows_per_s=sum(count for _, count in recent[1:]) / passed if passed > 0 else None,
        rows_per_core_s=sum(done.values()) / spent if spent > 0 else None,
        newest=when[-1][0] if when else None,
    )


def _times_of(folder: Location) -> dict[str, float]:
    """Return when each record was written, by its block's name, as the file system says it."""
    files = (folder / "parts").files()
    return {
        name.removesuffix(".json"): file.written
        for name, file in files.items()
        if file.written is not None
    }


def _counts(
    plan: Plan, records: Mapping[str, BlockRecord], manifest: Manifest | None
) -> dict[str, int | None]:
    if not records and manifest is not None:
        return {"impossible_geometries": None, "pixels_above_one": None}
    names = ("impossible_geometries", "pixels_above_one")
    return {name: sum(getattr(record, name) for record in records.values()) for name in names}


def _spectra(
    folder: Location, manifest: Manifest | None, rows: Mapping[str, xr.Dataset]
) -> xr.Dataset | None:
    """Return a few rows of those looked at, chosen by lot but always the same."""
    lot = np.random.default_rng(_SEED)
    known = [(split, i) for split, table in rows.items() for i in _some(lot, table)]
    if not known:
        return None
    shown = [known[i] for i in np.sort(lot.permutation(len(known))[:SPECTRA])]
    opened: dict[str, Any] = {}
    parts = []
    for split, i in shown:
        if split not in opened:
            opened[split] = _pixels_of(folder, manifest, split)
        row = rows[split].isel(spectrum=slice(i, i + 1))
        number = int(row["spectrum"].values[0])
        pixels = {name: np.asarray(opened[split][name][number]) for name in PIXEL_VARIABLES}
        sigma = np.sqrt(pixels["variance"].astype(np.float64))
        pixels["noisy"] = pixels["flux"] + sigma * lot.standard_normal(sigma.shape)
        columns = {name: (("spectrum", "wavelength"), v[np.newaxis]) for name, v in pixels.items()}
        labels = {"split": ("spectrum", [split]), "row": ("spectrum", [number])}
        parts.append(row.assign(columns | labels).drop_vars("spectrum"))
    wavelength = np.asarray(opened[shown[0][0]]["wavelength"][:])
    return xr.concat(parts, "spectrum").assign_coords(wavelength=wavelength)


def _some(lot: np.random.Generator, table: xr.Dataset) -> np.ndarray:
    count = table.sizes["spectrum"]
    return lot.choice(count, size=min(SPECTRA, count), replace=False)


def _pixels_of(folder: Location, manifest: Manifest | None, split: str) -> Any:
    """Return what is indexed by `flux`, `variance` and `wavelength`, and then by row."""
    if manifest is not None:
        return open_dataset(folder, split)
    arrays = arrays_in(folder)
    opened = open_arrays(arrays, split, arrays.read_files(template_names(split)))
    return {name: ShardedArray(arrays, a) if a.shards else a for name, a in opened.items()}


def summary(seen: Inspection) -> dict[str, Any]:
    """Return what was seen in plain numbers and text."""
    progress, manifest = seen.progress, seen.manifest
    blocks = manifest.blocks if manifest else None
    looked_at = sum(table.sizes["spectrum"] for table in seen.rows.values())
    impossible = seen.impossible_geometries
    return {
        "folder": str(seen.folder),
        "complete": manifest is not None,
        "mode": manifest.mode if manifest else "stored",
        "rows": seen.plan.rows,
        "looked_at": {split: table.sizes["spectrum"] for split, table in seen.rows.items()},
        "block": seen.plan.block,
        "chunk": seen.plan.chunk,
        "codec": seen.plan.codec,
        "progress": None if manifest else _told_progress(progress),
        "snr": {
            split: dict(zip(map(str, _QUANTILES), _quantiles(table["snr"].values), strict=True))
            for split, table in seen.rows.items()
        },
        "ranges": _ranges(list(seen.rows.values())) if looked_at else {},
        "nodes": seen.use.summary() if seen.use else {"unknown": seen.why_not},
        "fraction_impossible_geometries": blocks.fraction_impossible_geometries
        if blocks else impossible / progress.rows if impossible is not None and progress.rows
        and not manifest else None,
        "pixels_above_one": blocks.pixels_above_one if blocks else seen.pixels_above_one,
        "files": seen.files,
        "bytes": seen.bytes,
        "checksum": blocks.checksum if blocks else None,
        "seconds": manifest.seconds if manifest else None,
    }  # fmt: skip


def _told_progress(progress: Progress) -> dict[str, Any]:
    left, newest = progress.seconds_left, progress.newest
    return {
        "blocks": progress.blocks,
        "of_blocks": progress.of_blocks,
        "rows": progress.rows,
        "of_rows": progress.of_rows,
        "rows_per_s": progress.rows_per_s,
        "rows_per_core_s": progress.rows_per_core_s,
        "seconds_left": left,
        "newest_block_s_ago": None if newest is None else max(0.0, time.time() - newest),
        "end": None if left is None or newest is None
        else datetime.fromtimestamp(newest + left).astimezone().isoformat(timespec="seconds"),
    }  # fmt: skip


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(values.astype(np.float64), _QUANTILES)]


def _ranges(tables: list[xr.Dataset]) -> dict[str, tuple[float, float]]:
    names = [
        name
        for name in ROW_VARIABLES
        if name != "interpolated_axis" and all(name in table for table in tables)
    ]
    return {
        name: (min(float(t[name].min()) for t in tables), max(float(t[name].max()) for t in tables))
        for name in names
    }
