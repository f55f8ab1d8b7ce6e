"""A Dataset as one file of a person's choice: one suffix, one format, in every verb.

Zarr and NetCDF keep it as it is; FITS has an image for what has two dimensions or more and a table
for each dimension; CSV and ECSV have one line a pixel, with what holds for a row beside it.
"""

import json
import warnings
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from astropy.io import fits
from astropy.table import Table

from simlib.errors import InputError, shown

SUFFIXES = (".zarr", ".nc", ".fits", ".ecsv", ".csv", ".npz")
_SHORT = 40  # characters of a header's value
_NAME = 60  # characters of a column's name, which stands in one card


def check_suffix(out: str | Path) -> Path:
    """Return the path; InputError where its suffix names no format, or a folder has such a name."""
    path = Path(out)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"--out {shown(str(out))}: its end tells the format; end it in {', '.join(SUFFIXES)}"
        )
    if path.suffix != ".zarr" and path.is_dir():
        raise InputError(f"--out {shown(str(out))} is a folder; choose another name")
    return path


def write_dataset(dataset: xr.Dataset, path: Path, suffix: str) -> None:
    """Write a dataset to a path in the format of a suffix, whatever the path's own is."""
    _WRITERS[suffix](dataset, path)


def add_attributes(header: fits.Header, attrs: dict[Any, Any]) -> None:
    """Put attributes into a FITS header: short ones as cards, long ones as its history."""
    for name, value in attrs.items():
        text = as_ascii(str(value))
        if isinstance(value, (int, float)) or len(text) <= _SHORT:
            header[f"HIERARCH {name}"] = value if isinstance(value, (int, float)) else text
        else:
            header.add_history(f"{name}: {text}")


def table_of(dataset: xr.Dataset, dim: str, name: str) -> fits.BinTableHDU:
    """Return what depends on one dimension alone as a FITS table, in the order of the dataset."""
    columns, taken = [], set[str]()
    for variable, values in dataset.variables.items():
        if values.dims != (dim,):
            continue
        array = values.values
        if array.dtype.kind in "OUST":
            array = np.array([as_ascii(str(text)) for text in array], dtype=str)
        if array.dtype.kind in "bi" and array.dtype.itemsize == 1:
            array = array.astype(np.int16)  # FITS would take it for true and false
        unit = as_ascii(str(values.attrs.get("units", ""))) or None
        table = Table({"column": array})  # knows the FITS format of every type
        made = fits.table_to_hdu(table).columns[0]
        named = _column_name(str(variable), taken)
        columns.append(fits.Column(named, made.format, array=array, unit=unit))
    return fits.BinTableHDU.from_columns(columns, name=name)


def _column_name(name: str, taken: set[str]) -> str:
    """Return a name as a FITS table can have it, unlike those taken, and take it."""
    start = as_ascii(name)[:_NAME]
    names = chain([start], (f"{start}_{number}" for number in count(2)))
    found = next(one for one in names if one.casefold() not in taken)
    taken.add(found.casefold())
    return found


def as_ascii(text: str) -> str:
    """Return a text as FITS can hold it: other signs as their escapes."""
    escaped = text.encode("ascii", "backslashreplace").decode()
    return "".join(sign if " " <= sign <= "~" else " " for sign in escaped)


def _write_zarr(dataset: xr.Dataset, path: Path) -> None:
    with warnings.catch_warnings():  # of text, which Zarr 3 holds though its form is not settled
        warnings.simplefilter("ignore")
        dataset.to_zarr(path, zarr_format=3, consolidated=False)


def _write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    # By way of the memory: where a disk fails, HDF5 takes the whole program down.
    path.write_bytes(bytes(dataset.to_netcdf(engine="h5netcdf")))


def _write_fits(dataset: xr.Dataset, path: Path) -> None:
    primary = fits.PrimaryHDU()
    add_attributes(primary.header, dict(dataset.attrs))
    hdus: list[Any] = [primary]
    for name, variable in dataset.variables.items():
        if len(variable.dims) > 1:
            image = fits.ImageHDU(variable.values, name=str(name))
            image.header["BUNIT"] = as_ascii(str(variable.attrs.get("units", "")))
            hdus.append(image)
        elif not variable.dims:
            add_attributes(primary.header, {name: variable.values.item()})
    hdus += [table_of(dataset, str(dim), str(dim)) for dim in dataset.sizes]
    fits.HDUList(hdus).writeto(path)


def _long(dataset: xr.Dataset) -> pd.DataFrame:
    """Return one line a pixel; what has a dimension of its own beside these is left out."""
    rows = next(
        dim for dim in dataset.sizes if dim != "wavelength" and _is_of_spectra(dataset, dim)
    )
    dims = {rows, "wavelength"}
    kept = [name for name, v in dataset.variables.items() if set(v.dims) <= dims]
    return dataset[[n for n in kept if n not in dataset.sizes]].to_dataframe([rows, "wavelength"])


def _is_of_spectra(dataset: xr.Dataset, dim: Any) -> bool:
    return any(set(v.dims) == {dim, "wavelength"} for v in dataset.data_vars.values())


def _described(dataset: xr.Dataset) -> dict[str, Any]:
    units = {name: v.attrs.get("units") for name, v in dataset.variables.items()}
    told = {str(name): str(value) for name, value in dataset.attrs.items()}
    return told | {"units": ", ".join(f"{name} [{unit}]" for name, unit in units.items() if unit)}


def _write_csv(dataset: xr.Dataset, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for name, text in _described(dataset).items():
            file.write(f"# {name}: {' '.join(text.split())}\n")
        _long(dataset).to_csv(file)


def _write_ecsv(dataset: xr.Dataset, path: Path) -> None:
    table = Table.from_pandas(_long(dataset).reset_index())
    table.meta.update(_described(dataset))
    table.write(path, format="ascii.ecsv")


def _write_npz(dataset: xr.Dataset, path: Path) -> None:
    arrays: dict[str, Any] = {
        str(name): v.values.astype(str) if v.dtype.kind in "OT" else v.values
        for name, v in dataset.variables.items()
    }
    dims = {str(name): list(map(str, v.dims)) for name, v in dataset.variables.items()}
    with path.open("wb") as file:
        np.savez(file, attrs=np.array(json.dumps(_described(dataset) | {"dims": dims})), **arrays)


_WRITERS: dict[str, Callable[[xr.Dataset, Path], None]] = {
    ".zarr": _write_zarr, ".nc": _write_netcdf, ".fits": _write_fits, ".ecsv": _write_ecsv,
    ".csv": _write_csv, ".npz": _write_npz,
}  # fmt: skip
