"""Write the calculator's terms for a person: any format of `dataset_file`, Zarr in pieces."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import xarray as xr
import zarr
from zarr.errors import ZarrUserWarning

from simlib.artifact import publishing
from simlib.dataset_file import check_suffix, write_dataset
from simlib.errors import InputError
from simlib.location import Location

ROWS_AT_ONCE = 512  # 120 MB of terms
ROWS_IN_CHUNK = 64

Evaluate = Callable[[xr.Dataset], xr.Dataset]


def check_output(path: str | Path) -> Path:
    """Return the path if terms may be written there, or raise InputError."""
    out = check_suffix(path)
    if out.suffix == ".zarr" and out.exists() and not (out / "zarr.json").is_file():
        raise InputError(f"--out {str(path)!r} exists and is no Zarr store; choose another name")
    return out


def write_terms(out: Path, conditions: xr.Dataset, evaluate: Evaluate) -> Iterator[xr.Dataset]:
    """Evaluate conditions piece by piece, write them to `out`, yield each piece once written.

    `out` appears, or is replaced, only when complete: take every piece.
    """
    pieces = (
        evaluate(conditions.isel(condition=slice(start, start + ROWS_AT_ONCE)))
        for start in range(0, conditions.sizes["condition"], ROWS_AT_ONCE)
    )
    with publishing(Location.of(out), replace=True) as beside:
        if out.suffix != ".zarr":
            done = list(pieces)
            whole = done[0] if len(done) == 1 else xr.concat(done, "condition", data_vars="minimal")
            write_dataset(whole, beside.path, out.suffix)
            yield whole
            return
        for number, piece in enumerate(pieces):
            _append(beside.path, piece, is_first=number == 0)
            yield piece
        with warnings.catch_warnings():  # readers look for it, though Zarr 3 has not settled it yet
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(beside.path)


def _append(store: Path, piece: xr.Dataset, is_first: bool) -> None:
    if is_first:
        sizes = {"condition": ROWS_IN_CHUNK}
        chunks = {
            str(name): {"chunks": tuple(sizes.get(str(d), piece.sizes[d]) for d in variable.dims)}
            for name, variable in piece.variables.items()
            if "condition" in variable.dims
        }
        piece.to_zarr(store, mode="w", consolidated=False, encoding=chunks)
        return
    growing = [name for name, v in piece.variables.items() if "condition" in v.dims]
    piece[growing].drop_vars(["wavelength"]).to_zarr(
        store, append_dim="condition", consolidated=False
    )
