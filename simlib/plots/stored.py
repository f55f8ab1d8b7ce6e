"""Spectra or terms in a file of any format that verbs write, as a Dataset to be drawn.

Zarr and NetCDF hold a Dataset as it is; FITS is read part by part; of tables with a line a pixel
what holds for a whole row is taken once; of NumPy's archives dimensions follow from the lengths.
"""

from collections.abc import Callable
from io import BytesIO
from itertools import takewhile

import numpy as np
import pandas as pd
import xarray as xr

from simlib.errors import InputError
from simlib.location import Location

ROWS = ("spectrum", "condition")  # what a row of spectra or of terms is called


def read_stored(place: Location, ending: str) -> xr.Dataset:
    """Return what a file holds. Raises InputError for one that cannot be read so."""
    try:
        return READERS[ending](place)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(
            f"{place} cannot be read as {ending}: {' '.join(str(error).split())[:200]}"
        ) from None


def _zarr(place: Location) -> xr.Dataset:
    found: xr.Dataset = xr.open_zarr(**place.zarr, consolidated=False)
    return found


def _netcdf(place: Location) -> xr.Dataset:
    return xr.load_dataset(place.path)


def _csv(place: Location) -> xr.Dataset:
    filesystem, path = place.filesystem()
    with filesystem.open(path, "rb") as file:
        data = file.read()
    heads = takewhile(lambda line: line.startswith(b"#"), data.splitlines())
    return _of_table(pd.read_csv(BytesIO(data), skiprows=len(list(heads))))


def _fits(place: Location) -> xr.Dataset:
    from simlib.plots.fits_spectra import read_fits_spectra  # noqa: PLC0415  (loads astropy)

    return read_fits_spectra(place)


def _ecsv(place: Location) -> xr.Dataset:
    from astropy.table import Table  # noqa: PLC0415  (most files need none of it)

    filesystem, path = place.filesystem()
    with filesystem.open(path, "rb") as file:
        text = file.read().decode("utf-8")
    return _of_table(Table.read(text, format="ascii.ecsv").to_pandas())


def _of_table(frame: pd.DataFrame) -> xr.Dataset:
    """Return a table with one line a pixel; a variable that is the same in a row is the row's."""
    rows = next((name for name in ROWS if name in frame), "")
    if not rows or "wavelength" not in frame:
        raise ValueError(f"columns {' or '.join(ROWS)} and wavelength were expected")
    whole = frame.set_index([rows, "wavelength"]).to_xarray()
    first = whole.isel(wavelength=0, drop=True)
    alike = {
        name: first[name]
        for name, values in whole.data_vars.items()
        if frame.groupby(rows)[str(name)].nunique(dropna=False).max() == 1
    }
    return whole.assign(alike)


def _npz(place: Location) -> xr.Dataset:
    filesystem, path = place.filesystem()
    with filesystem.open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files if name != "attrs"}
    pixels = len(arrays["wavelength"])
    kind = "condition" if "lsf_sigma" in arrays else "spectrum"
    rows = next(len(v) for v in arrays.values() if v.ndim == 2 and v.shape[1] == pixels)
    dims: dict[tuple[int, ...], tuple[str, ...]] = {
        (): (), (rows,): (kind,), (pixels,): ("wavelength",), (rows, pixels): (kind, "wavelength"),
    }  # fmt: skip
    columns = {name: (dims[v.shape], v) for name, v in arrays.items() if v.shape in dims}
    return xr.Dataset(columns).set_coords("wavelength")


READERS: dict[str, Callable[[Location], xr.Dataset]] = {
    ".zarr": _zarr, ".nc": _netcdf, ".fits": _fits, ".fit": _fits, ".gz": _fits,
    ".csv": _csv, ".ecsv": _ecsv, ".npz": _npz,
}  # fmt: skip
