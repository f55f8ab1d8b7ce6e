"""All there is to say of a grid, as plain data."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from simlib.kept import kept_files
from simlib.location import Location, Place
from simlib.parameters import AXES
from simlib.stellar.coverage import missing_nodes
from simlib.stellar.default import expanded_name, package_files
from simlib.stellar.grid import KNOWN_GRIDS
from simlib.stellar.quality.leave_one_out import ARM, leave_one_out
from simlib.stellar.quality.sanity import sanity_table
from simlib.stellar.schema import grid_fingerprint
from simlib.stellar.store import is_store

QUALITY_RESOLUTION = 5000.0


def describe_grid(
    grid: xr.Dataset,
    place: Place,
    *,
    with_quality: bool = True,
    with_sanity: bool = False,
) -> dict[str, Any]:
    """Return axes, holes, resolution, size, provenance and, if asked, what reads all of the grid.

    with_quality: the left-out nodes' error. with_sanity: what must be true of cool stars.
    """
    wavelength = grid["wavelength_model"].values
    description = {
        "location": str(place),
        "fingerprint": grid_fingerprint(grid),
        "axes": {name: grid[name].values.tolist() for name in AXES},
        "nodes": int(grid["present"].sum()),
        "missing": missing_nodes(grid),
        "wavelength": {
            "first_nm": float(wavelength[0]),
            "last_nm": float(wavelength[-1]),
            "points": len(wavelength),
            "points_per_unit_ln": round(1 / float(np.diff(np.log(wavelength)).mean())),
        },
        "bytes_in_memory": int(grid["flux_normalized"].nbytes + grid["continuum"].nbytes),
        "bytes_on_disk": _bytes_on_disk(grid, place),
        "attrs": dict(grid.attrs),
    }
    if with_quality:
        whole = (float(wavelength[0]), float(wavelength[-1]))
        arm = (max(ARM[0], whole[0]), min(ARM[1], whole[1]))
        description["leave_one_out"] = [
            {
                "window_nm": list(window),
                "resolution": min(QUALITY_RESOLUTION, float(grid.attrs["resolution"])),
                "axes": [asdict(e) for e in leave_one_out(grid, QUALITY_RESOLUTION, window)],
            }
            for window in (arm, whole)
        ]
    if with_sanity:
        description["sanity"] = [asdict(row) for row in sanity_table(grid)]
    return description


def _bytes_on_disk(grid: xr.Dataset, place: Place) -> dict[str, int]:
    """Return sizes by place: the package and the cache, or the store."""
    if place == "default":
        package = sum(len(f.read_bytes()) for f in package_files().iterdir() if f.is_file())
        kept = kept_files("grids", expanded_name(grid.attrs["checksum"]))
        return {"package": package} | {str(path): path.stat().st_size for path in kept}
    if place in KNOWN_GRIDS:
        return {}
    return {str(place): sum(Location.of(place).sizes().values())}


def stores_below(root: Place) -> list[Location]:
    """Return the grid stores in `<root>/grids`."""
    folder = Location.of(root) / "grids"
    places = (folder / name for name in folder.names() if Path(name).suffix == ".zarr")
    return [place for place in places if is_store(place)]
