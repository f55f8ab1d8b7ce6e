"""A little dataset of made-up spectra, to test the store without the simulator."""

import numpy as np
import xarray as xr

from simlib.config import Storage
from simlib.dataset.plan import Block, Plan
from simlib.dataset.store import ROW_VARIABLES, create_store, write_block
from simlib.storage import join, write_json

PIXELS = 32


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


def make_store(
    folder: str, plan: Plan, storage: Storage, blocks: list[Block] | None = None
) -> None:
    """Create a store and write some of its blocks, or all."""
    create_store(folder, spectra(Block("train", 0, 1)), plan, storage)
    write_json(join(folder, "parts", "plan.json"), plan.as_dict(), storage.options)
    for block in plan.blocks() if blocks is None else blocks:
        record = {"checksum": write_block(folder, block, spectra(block), storage)}
        write_json(join(folder, "parts", f"{block.name}.json"), record, storage.options)
