"""Spectra or terms as `simulate` and `etc` write them, as a Dataset to be drawn.

Zarr and NetCDF hold a Dataset as it is; of tables with a line a pixel what holds for a whole row is
taken once; NumPy's archives say the dimensions of their arrays. Files are known by their content.
"""

import json
from io import BytesIO
from itertools import islice, takewhile
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from astropy.table import Table

from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import START, cards, column, column_names, is_table, names, opened
from simlib.spectra.read import ECSV, ZIP
from simlib.spectra.tables import npz_arrays

ROWS = ("spectrum", "condition")  # what a row of spectra or of terms is called
_NETCDF = (b"CDF", b"\x89HDF")


def open_zarr(place: Location) -> xr.Dataset:
    """Return what a Zarr store holds. Raises InputError for one that cannot be read."""
    try:
        found: xr.Dataset = xr.open_zarr(**place.zarr, consolidated=False)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{place} cannot be read as Zarr: {told}") from None
    return found


def parse_stored(data: bytes) -> xr.Dataset | None:
    """Return what the bytes of a file hold, None where it is none that our verbs write.

    Damage raises whatever the library raises: see `simlib.spectra.read.parsing`.
    """
    if data.startswith(_NETCDF):
        return xr.load_dataset(BytesIO(data))
    if data.startswith(START):
        return _terms_of_fits(data)
    if data.startswith(ZIP):
        arrays = npz_arrays(data)
        return _of_arrays(arrays) if "attrs" in arrays else None
    heads = len(list(takewhile(lambda line: line.startswith(b"#"), BytesIO(data))))
    line = next(islice(BytesIO(data), heads, None), b"")
    names = set(line.decode("ascii", "replace").replace(",", " ").split())
    if "wavelength" not in names or not names & set(ROWS):
        return None
    if data.startswith(ECSV):
        return _of_table(Table.read(data.decode("utf-8"), format="ascii.ecsv").to_pandas())
    return _of_table(pd.read_csv(BytesIO(data), skiprows=heads))


def _terms_of_fits(data: bytes) -> xr.Dataset | None:
    """Return terms; spectra in FITS are the survey's files, which readers of these know."""
    dims = ("condition", "wavelength")
    with opened(data) as hdus:
        if not {dim.upper() for dim in dims} <= names(hdus):
            return None
        columns: dict[str, Any] = {
            low: (dim, np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))
            for dim in dims
            for low, values in ((n, column(hdus[dim], n)) for n in column_names(hdus[dim]))
        }
        columns |= {
            hdu.name.lower(): (dims, numbers(hdu.data, hdu.name))
            for hdu in hdus
            if hdu.data is not None and not is_table(hdu)
        }
        # what has no dimension is a card
        columns |= {
            name.lower(): value
            for name, value in cards(hdus[0]).items()
            if isinstance(value, float) and name.lower() not in columns
        }
    return xr.Dataset(columns).set_coords("wavelength")


def _of_table(frame: pd.DataFrame) -> xr.Dataset:
    """Return a table with one line a pixel; a variable that is the same in a row is the row's."""
    rows = next(name for name in ROWS if name in frame)
    whole = frame.set_index([rows, "wavelength"]).to_xarray()
    first = whole.isel(wavelength=0, drop=True)
    alike = {
        name: first[name]
        for name, values in whole.data_vars.items()
        if frame.groupby(rows)[str(name)].nunique(dropna=False).max() == 1
    }
    return whole.assign(alike)


def _of_arrays(arrays: dict[str, np.ndarray]) -> xr.Dataset:
    dims = json.loads(str(arrays.pop("attrs"))).get("dims")
    if dims is None:
        raise InputError("it does not say the dimensions of its arrays; write it again")
    columns = {name: (dims[name], values) for name, values in arrays.items()}
    return xr.Dataset(columns).set_coords("wavelength")
