"""A little dataset of made-up spectra, to test the store without the simulator."""

import numpy as np
import xarray as xr

from simlib.artifact import write_record
from simlib.dataset.agreement import first_row_of
from simlib.dataset.layout import ROW_VARIABLES
from simlib.dataset.manifest import Manifest, Summary
from simlib.dataset.places import plan_in, record_in
from simlib.dataset.plan import Block, BlockRecord, Plan
from simlib.dataset.publish import publish
from simlib.dataset.store import write_block, write_template
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
    columns["interpolated_axis"] = ("spectrum", (rows % 4).astype(np.int8), {"units": "1"})
    grid = base[:, np.newaxis] + np.arange(PIXELS) / 64.0
    for name in ("flux", "variance"):
        columns[name] = (("spectrum", "wavelength"), grid * (2.0 if name == "flux" else 3.0), {})
    wavelength = ("wavelength", np.linspace(710.0, 885.0, PIXELS), {"units": "nm"})
    return xr.Dataset(columns, coords={"wavelength": wavelength})


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
        checksum, sizes = write_block(folder, plan, block, spectra(block))
        record = BlockRecord(
            split=block.split, start=block.start, stop=block.stop, checksum=checksum, sizes=sizes,
            arithmetic=plan.first_row.arithmetic, impossible_geometries=0, pixels_above_one=0,
            seconds_computing=0.0, seconds_writing=0.0, host="here",
        )  # fmt: skip
        write_record(record_in(folder, block), record)
    return folder


def make_published(versions: Place, plan: Plan) -> Location:
    """Create a whole store in a folder of versions, publish it, and return its folder."""
    folder = make_store(Location.of(versions) / IDENTITY, plan)
    manifest = Manifest(
        fingerprint=IDENTITY, mode="stored", physics_version=1, plan=plan, rows=27, config={},
        terms="", stellar_grid={}, arithmetic=(plan.first_row.arithmetic,),
        template=write_template(folder, plan, EXAMPLE),
        blocks=Summary(checksum="", fraction_impossible_geometries=0.0, pixels_above_one=0),
        seconds=0.0, provenance={},
    )  # fmt: skip
    publish(folder, manifest)
    return folder
