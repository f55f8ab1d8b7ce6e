"""The files of a dataset's Zarr store: those of an empty one, of a block, and of the row variables.

A block adds two, its shards of flux and variance. What has one value a row follows in large chunks
when all blocks are there. All are made in memory, from the plan and the values alone, so that every
builder of a store makes the same ones, and none reads what it is about to write. Every chunk ends
with its crc32c, which Zarr compares when it reads it.
"""

import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore, StorePath

from simlib.dataset.plan import SIMULATED, Block, Plan
from simlib.dataset.shards import encoded_shard
from simlib.fingerprint import quick_checksum
from simlib.unbuffered import Bytes

PIXEL_VARIABLES = ("flux", "variance")
ROW_VARIABLES = (
    "snr", "flux_scale", "teff", "logg", "feh", "alpha", "interpolated_axis", "redshift", "ebv",
    "magnitude", "seeing", "zenith_angle", "field_angle", "moon_zenith_angle",
    "moon_target_angle", "moon_phase",
)  # fmt: skip
VARIABLES = (*PIXEL_VARIABLES, *ROW_VARIABLES)
ROW_CHUNK = 2**17  # rows of a chunk of what has one value a row
_PACKINGS: dict[str, tuple[Literal["lz4", "zstd"], int]] = {
    "lz4": ("lz4", 5),
    # 6 % smaller, twice as long to write; without the bits' shuffle it would be a fifth larger
    "zstd": ("zstd", 5),
}
CODECS = (*_PACKINGS, "none")


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the type in which a variable is kept."""
    return np.dtype("int8" if name == "interpolated_axis" else "float32")


def template_files(plan: Plan, example: xr.Dataset) -> dict[str, bytes]:
    """Return the files of an empty store: the metadata of all its arrays, and the wavelengths.

    example: one simulated row, for attributes and wavelengths.
    """
    files: dict[str, Buffer] = {}
    root = zarr.create_group(MemoryStore(files), zarr_format=3)
    for split, rows in plan.rows.items():
        group = root.create_group(split)
        for name in VARIABLES:
            layout = _layout(
                name, rows, example.sizes["wavelength"], plan.block, plan.chunk, plan.codec
            )
            attributes = {key: _plain(value) for key, value in example[name].attrs.items()}
            group.create_array(name, **layout, attributes=attributes)
        _add_wavelength(group, example["wavelength"])
    with warnings.catch_warnings():  # zarr warns that the specification has no such section yet
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(root.store, zarr_format=3)
    return {name: data.to_bytes() for name, data in files.items()}


def template_names(split: str) -> list[str]:
    """Return the names of the files of an empty store that one needs to read a split."""
    arrays = [f"{split}/{name}/zarr.json" for name in (*VARIABLES, "wavelength")]
    return [f"{split}/zarr.json", *arrays, f"{split}/wavelength/c/0"]


def _layout(
    name: str, rows: int, pixels: int, block: int, chunk: int, codec: str
) -> dict[str, Any]:
    """Return how an array is kept: in shards of a block (pixels), or in large chunks (rows)."""
    is_wide = name in PIXEL_VARIABLES
    return {
        "shape": (rows, pixels) if is_wide else (rows,),
        "dtype": dtype_of(name),
        "shards": (block, pixels) if is_wide else None,
        "chunks": (chunk, pixels) if is_wide else (min(rows, ROW_CHUNK),),
        "compressors": _compressors(codec),
        "fill_value": 0 if name == "interpolated_axis" else np.nan,
        "dimension_names": ("spectrum", "wavelength") if is_wide else ("spectrum",),
        "config": {"write_empty_chunks": True},  # a chunk that is not there is one that was lost
    }


def _compressors(codec: str) -> list[Any]:
    if codec not in _PACKINGS:
        return [Crc32cCodec()]
    name, level = _PACKINGS[codec]
    return [BloscCodec(cname=name, clevel=level, shuffle="bitshuffle"), Crc32cCodec()]


def _packing(codec: str) -> Blosc | None:
    """Return what `_compressors` packs by, None where it does not."""
    return Blosc(*_PACKINGS[codec], Blosc.BITSHUFFLE) if codec in _PACKINGS else None


@lru_cache(maxsize=64)
def _empty_array(*layout: Any) -> Any:
    """Keep an array of no values: what is known of it takes longer to make than a block to cut."""
    return zarr.create_array(MemoryStore(), **_layout(*layout), zarr_format=3).async_array


def _add_wavelength(group: zarr.Group, wavelength: xr.DataArray) -> None:
    array = group.create_array(
        "wavelength",
        shape=wavelength.shape,
        dtype="float64",
        chunks=wavelength.shape,
        compressors=_compressors("zstd"),
        dimension_names=("wavelength",),
        attributes=dict(wavelength.attrs),
        config={"write_empty_chunks": True},
    )
    array[:] = wavelength.values


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def as_kept(spectra: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the values of every variable in the type in which it is kept."""
    return {name: spectra[name].values.astype(dtype_of(name), copy=False) for name in VARIABLES}


def checksum_of(values: Mapping[str, np.ndarray]) -> str:
    """Return the checksum over all that was simulated of a block, whatever its codec."""
    return quick_checksum(*(values[name] for name in (*PIXEL_VARIABLES, *SIMULATED)))


def block_files(plan: Plan, block: Block, values: Mapping[str, np.ndarray]) -> dict[str, Bytes]:
    """Return the files of a block by their names in the store: a shard of flux, one of variance.

    Raises ValueError for rows that are not exactly those of a block: where two writers share a
    shard, each undoes what the other wrote.
    """
    return _files_of(plan, block, plan.block, {name: values[name] for name in PIXEL_VARIABLES})


def as_named(plan: Plan, block: Block) -> list[str]:
    """Return the names of the files of a block in the store."""
    number = block.start // plan.block
    return [f"{block.split}/{name}/c/{number}/0" for name in PIXEL_VARIABLES]


def row_chunks(plan: Plan) -> Iterator[Block]:
    """Yield the rows of each chunk of the row variables, in order."""
    for split, rows in plan.rows.items():
        for start in range(0, rows, ROW_CHUNK):
            yield Block(split, start, min(start + ROW_CHUNK, rows))


def row_files(plan: Plan, chunk: Block, values: Mapping[str, np.ndarray]) -> dict[str, Bytes]:
    """Return the files of a chunk of the row variables. Raises ValueError as `block_files` does."""
    return _files_of(plan, chunk, ROW_CHUNK, {name: values[name] for name in ROW_VARIABLES})


def _files_of(
    plan: Plan, part: Block, size: int, values: Mapping[str, np.ndarray]
) -> dict[str, Bytes]:
    rows = plan.rows.get(part.split, 0)
    whole = range(part.start, min(part.start + size, rows))
    if part.start % size or range(part.start, part.stop) != whole or not whole:
        raise ValueError(
            f"rows {part.start} to {part.stop} of {part.split!r} are not one whole block of "
            f"{size} of its {rows} rows: whoever writes the rest of that block would undo it"
        )
    files: dict[str, Bytes] = {}
    for name, array in values.items():
        if len(array) != len(whole):
            raise ValueError(f"block {part.name} needs {len(whole)} rows, got {len(array)}")
        where = f"{part.split}/{name}/c/{part.start // size}"
        if name in PIXEL_VARIABLES:
            packing = _packing(plan.codec)
            files[f"{where}/0"] = encoded_shard(array, plan.chunk, plan.block, packing)
        else:
            files[where] = _encoded_rows(plan, part, name, rows, array)
    return files


def _encoded_rows(plan: Plan, part: Block, name: str, rows: int, values: np.ndarray) -> bytes:
    """Return the file of a chunk of what has one value a row."""
    empty = _empty_array(name, rows, 0, plan.block, plan.chunk, plan.codec)
    files: dict[str, Buffer] = {}
    array = zarr.Array(
        zarr.AsyncArray(empty.metadata, StorePath(MemoryStore(files), ""), empty.config)
    )
    array[part.start : part.stop] = values
    (data,) = files.values()
    return data.to_bytes()
