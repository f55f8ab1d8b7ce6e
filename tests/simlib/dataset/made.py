"""A little dataset of made-up spectra, to test the store without the simulator."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import xarray as xr

from simlib.artifact import write_record
from simlib.dataset.agreement import first_row_of
from simlib.dataset.layout import ROW_VARIABLES, as_kept
from simlib.dataset.manifest import Manifest, Summary, summary_checksum
from simlib.dataset.places import plan_in, record_in
from simlib.dataset.plan import SIMULATED, Block, BlockRecord, Plan, encoded
from simlib.dataset.publish import publish
from simlib.dataset.store import (
    kept_sizes,
    records_of,
    write_block,
    write_row_variables,
    write_template,
)
from simlib.location import Location, Place

PIXELS = 32
IDENTITY = "0123456789abcdef"


def spectra(block: Block) -> xr.Dataset:
    """Return rows whose values tell the split, the row and the variable."""
    rows = np.arange(block.start, block.stop)
    base = rows + (0.25 if block.split == "train" else 0.75)
    columns: dict[str, object] = {
        name: ("spectrum", base + 1000.0 * number, {"units": "1"})
        for number, name in enumerate(ROW_VARIABLES)
    }
    columns["redshift"] = ("spectrum", 1e-5 * base, {"units": "1"})  # lines are within the arm
    columns["interpolated_axis"] = ("spectrum", (rows % 4).astype(np.int8), {"units": "1"})
    grid = base[:, np.newaxis] + np.arange(PIXELS) / 64.0
    for name in ("flux", "variance"):
        columns[name] = (("spectrum", "wavelength"), grid * (2.0 if name == "flux" else 3.0), {})
    wavelength = ("wavelength", np.linspace(710.0, 885.0, PIXELS), {"units": "nm"})
    return xr.Dataset(columns, coords={"wavelength": wavelength})


def drawn(split: str, start: int, stop: int) -> xr.Dataset:
    """Return what is drawn of these rows."""
    return spectra(Block(split, start, stop))[[*set(ROW_VARIABLES) - set(SIMULATED)]]


EXAMPLE = spectra(Block("train", 0, 1))


def make_plan(codec: str = "lz4") -> Plan:
    """Return a plan of 20 and 7 rows in blocks of 8."""
    return Plan(
        rows={"train": 20, "validation": 7},
        block=8,
        chunk=4,
        codec=codec,  # type: ignore[arg-type]
        first_row=first_row_of(EXAMPLE),
    )


def make_store(place: Place, plan: Plan, blocks: list[Block] | None = None) -> Location:
    """Create a store, write some of its blocks, or all, and return its folder."""
    folder = Location.of(place)
    write_template(folder, plan, EXAMPLE)
    write_record(plan_in(folder), plan)
    for block in plan.blocks() if blocks is None else blocks:
        values = as_kept(spectra(block))
        checksum, sizes = write_block(folder, plan, block, values)
        record = BlockRecord(
            split=block.split, start=block.start, stop=block.stop, checksum=checksum, sizes=sizes,
            arithmetic=plan.first_row.arithmetic, impossible_geometries=0, pixels_above_one=0,
            seconds_computing=0.0, seconds_writing=0.0, host="here",
            snr=encoded(values["snr"]), flux_scale=encoded(values["flux_scale"]),
        )  # fmt: skip
        write_record(record_in(folder, block), record)
    return folder


def make_published(versions: Place, plan: Plan) -> Location:
    """Put a whole published store into a folder of versions, and return its folder."""
    place = Location.of(versions)
    made = _published_once(plan.model_dump_json())
    if place.is_local:
        shutil.copytree(made, place.path, dirs_exist_ok=True)
    else:
        filesystem, path = place.filesystem()
        filesystem.put(f"{made}/", f"{path}/", recursive=True)
    return place / IDENTITY


@cache
def _published_once(plan: str) -> Path:
    """Return a folder of versions with a store of this plan, made once a process."""
    versions = Path(mkdtemp(prefix="specdenoise-made-"))
    atexit.register(shutil.rmtree, versions, ignore_errors=True)
    publish_made(Location.of(versions) / IDENTITY, Plan.model_validate_json(plan))
    return versions


def publish_made(folder: Location, plan: Plan) -> None:
    """Create a whole store in a folder and publish it."""
    make_store(folder, plan)
    row_files = write_row_variables(folder, plan, records_of(folder, plan), drawn)
    sizes = kept_sizes(folder)
    checksums = [records_of(folder, plan)[block.name].checksum for block in plan.blocks()]
    manifest = Manifest(
        fingerprint=IDENTITY, mode="stored", physics_version=1, inputs={}, plan=plan, rows=27,
        config={}, terms="", stellar_grid={}, arithmetic=(plan.first_row.arithmetic,),
        template=write_template(folder, plan, EXAMPLE), row_files=row_files,
        blocks=Summary(
            checksum=summary_checksum(checksums), fraction_impossible_geometries=0.0,
            pixels_above_one=0, files=len(sizes), bytes=sum(sizes.values()), planned_bytes=1,
            core_seconds=0.0, planned_core_seconds=0.0,
        ),
        seconds=0.0, provenance={},
    )  # fmt: skip
    publish(folder, manifest)
