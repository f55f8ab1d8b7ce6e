"""The Zarr store of a dataset: its template, writing one block, opening a published one."""

import warnings
from typing import Any, Literal, cast

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.errors import ZarrUserWarning

from simlib.config import Storage
from simlib.dataset.plan import Block, Plan
from simlib.errors import InputError
from simlib.fingerprint import checksum
from simlib.storage import Options, join, open_location, read_json, zarr_options

PIXEL_VARIABLES = ("flux", "variance")
ROW_VARIABLES = (
    "snr", "flux_scale", "teff", "logg", "feh", "alpha", "interpolated_axis", "redshift", "ebv",
    "magnitude", "seeing", "zenith_angle", "field_angle", "moon_zenith_angle",
    "moon_target_angle", "moon_phase",
)  # fmt: skip
_CODECS: dict[str, Any] = {
    "lz4": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
    "zstd": ZstdCodec(level=3),
    "none": None,
}


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the type in which a variable is kept."""
    return np.dtype("int8" if name == "interpolated_axis" else "float32")


def zarr_location(folder: str) -> str:
    """Return where the arrays of a dataset are."""
    return join(folder, "spectra.zarr")


def open_zarr(folder: str, options: Options | None, mode: Literal["r", "r+", "a"]) -> zarr.Group:
    """Return the root group of a dataset's arrays."""
    location = zarr_location(folder)
    return zarr.open_group(
        location, mode=mode, zarr_format=3, storage_options=zarr_options(location, options)
    )


def create_store(folder: str, template: xr.Dataset, plan: Plan, storage: Storage) -> None:
    """Write the metadata of empty arrays, and the wavelengths.

    template: one simulated row, for attributes and wavelengths. Harmless when done again.
    """
    root = open_zarr(folder, storage.options, "a")
    for split, rows in plan.rows.items():
        group = root.require_group(split)
        for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
            if name not in group:
                _create_array(group, name, template[name], rows, plan)
        if "wavelength" not in group:
            _create_wavelength(group, template["wavelength"])
    with warnings.catch_warnings():  # zarr warns that the specification has no such section yet
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(root.store, path=root.path, zarr_format=3)


def _create_array(
    group: zarr.Group, name: str, example: xr.DataArray, rows: int, plan: Plan
) -> None:
    codec = _CODECS[plan.codec]
    wide = example.sizes["wavelength"] if name in PIXEL_VARIABLES else None
    group.create_array(
        name,
        shape=(rows, wide) if wide else (rows,),
        dtype=dtype_of(name),
        shards=(plan.block, wide) if wide else None,
        chunks=(plan.chunk, wide) if wide else (plan.block,),
        compressors=None if codec is None else [codec],
        fill_value=0 if name == "interpolated_axis" else np.nan,
        dimension_names=("spectrum", "wavelength") if wide else ("spectrum",),
        attributes={key: _plain(value) for key, value in example.attrs.items()},
    )


def _create_wavelength(group: zarr.Group, wavelength: xr.DataArray) -> None:
    array = group.create_array(
        "wavelength",
        shape=wavelength.shape,
        dtype="float64",
        chunks=wavelength.shape,
        dimension_names=("wavelength",),
        attributes=dict(wavelength.attrs),
    )
    array[:] = wavelength.values


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def write_block(folder: str, block: Block, spectra: xr.Dataset, storage: Storage) -> str:
    """Write one block, read it back, and return the checksum of what the store now holds.

    Raises OSError when the store cannot hold it or gives back something else.
    """
    rows = block.stop - block.start
    if spectra.sizes["spectrum"] != rows:
        raise ValueError(f"block {block.name} needs {rows} rows, got {spectra.sizes['spectrum']}")
    arrays = _arrays(folder, block.split, storage.options, "r+")
    where = slice(block.start, block.stop)
    written = [
        spectra[name].values.astype(arrays[name].dtype)
        for name in (*PIXEL_VARIABLES, *ROW_VARIABLES)
    ]
    for name, values in zip((*PIXEL_VARIABLES, *ROW_VARIABLES), written, strict=True):
        arrays[name][where] = values
    kept = block_checksum(folder, block, storage)
    if kept != checksum(*written):
        raise OSError(f"block {block.name} reads back differently from what was written")
    return kept


def block_checksum(folder: str, block: Block, storage: Storage) -> str:
    """Return the checksum over all variables of a block as they are in the store."""
    arrays = _arrays(folder, block.split, storage.options, "r")
    where = slice(block.start, block.stop)
    kept = (arrays[name][where] for name in (*PIXEL_VARIABLES, *ROW_VARIABLES))
    return checksum(*(np.asarray(values) for values in kept))


def _arrays(
    folder: str, split: str, options: Options | None, mode: Literal["r", "r+"]
) -> dict[str, zarr.Array[Any]]:
    """Return the arrays of a split by name."""
    group = cast(zarr.Group, open_zarr(folder, options, mode)[split])
    return dict(group.arrays())


def open_dataset(
    folder: str, split: str = "train", options: Options | None = None, virtual: bool = False
) -> xr.Dataset:
    """Return one split of a published dataset, read lazily; dims `spectrum`, `wavelength`.

    folder: a dataset's own folder, or the folder of its name, whose latest version is taken.
    virtual: compute the spectra on access instead of reading them; the bits are the same.
    Raises InputError when there is none, it is not complete, or it has no such split.
    """
    place = published_folder(folder, options)
    splits = list(read_json(join(place, "parts", "plan.json"), options)["rows"])
    if split not in splits:
        raise InputError(f"{place} has no split {split!r}; it has {', '.join(splits)}")
    manifest = read_json(join(place, "manifest.json"), options)
    if virtual or manifest.get("mode", "stored") != "stored":
        from simlib.dataset.virtual import open_virtual  # noqa: PLC0415  (a reader needs no kernel)

        return open_virtual(place, split, options)
    location = zarr_location(place)
    data: xr.Dataset = xr.open_zarr(
        location, group=split, chunks=None, storage_options=zarr_options(location, options)
    )
    return data


def published_folder(folder: str, options: Options | None = None) -> str:
    """Return the folder of a complete dataset; InputError tells what is missing otherwise."""
    place = folder.rstrip("/").removesuffix("/spectra.zarr")
    latest = read_json(join(place, "latest.json"), options)
    if latest is not None:
        place = join(place, latest["fingerprint"])
    if read_json(join(place, "manifest.json"), options) is not None:
        return place
    plan = read_json(join(place, "parts", "plan.json"), options)
    if plan is None:
        raise InputError(f"no dataset at {folder}; build it with `specdenoise build CONFIG`")
    blocks = list(Plan.from_dict(plan).blocks())
    done = len(records_of(place, blocks, options))
    raise InputError(
        f"the dataset at {place} is not complete: {done} of {len(blocks)} blocks are done; "
        "run `specdenoise build CONFIG` again, it does the rest"
    )


def records_of(folder: str, blocks: list[Block], options: Options | None) -> dict[str, Any]:
    """Return the records of the finished blocks, name to record."""
    filesystem, path = open_location(join(folder, "parts"), options)
    filesystem.invalidate_cache()
    there = {entry.rsplit("/", 1)[-1] for entry in filesystem.find(path)}
    names = [block.name for block in blocks if f"{block.name}.json" in there]
    return {name: read_json(join(folder, "parts", f"{name}.json"), options) for name in names}
