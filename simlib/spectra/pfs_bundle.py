"""Many stars of the survey in one file: `pfsCalibrated` (one visit) and `pfsCoadd` (stacks).

Arrays lie in images where all spectra have one length, else in tables of arrays; the planes of
each mask stand in its YAML text, which is read by a loader that makes plain values alone.
"""

from collections.abc import Mapping, Sized
from typing import Any, TypeVar

import numpy as np
import yaml
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import as_numbers, integers, numbers
from simlib.spectra.fits_file import column, column_names, is_table, names, part, texts
from simlib.spectra.masks import planes_of, rejected
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.pfs_star import FRAME, covariance, star_name
from simlib.spectra.units import NANOJANSKY

_Rows = TypeVar("_Rows", bound=Sized)

MOST_STARS = 32767  # that the data model's short numbers tell apart
_LONGEST = 200_000  # characters of one text of metadata
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_bundle(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return {"TARGETFLUX", "FLUX", "COVAR"} <= names(hdus)


def read_bundle(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return all stars, in the order of the file."""
    stars = _names(hdus)
    count = len(stars)
    flux, wavelength = (_rows(hdus, name, count) for name in ("FLUX", "WAVELENGTH"))
    mask, covar = _masks(hdus, count, stated.reject), _covariances(hdus, count)
    product = _product(hdus)
    found = []
    for row, name in enumerate(stars):
        variance, beside = covar[row]
        found.append(
            Observed(
                name=name,
                product=product,
                wavelength=wavelength[row],
                flux=flux[row],
                variance=variance,
                mask=mask[row],
                unit=NANOJANSKY,
                beside=beside,
                frame=FRAME,
            )
        )
    return found


def _names(hdus: fits.HDUList) -> list[str]:
    table = part(hdus, "TARGET")
    if not is_table(table):
        raise InputError("its TARGET is no table")
    if not 0 < len(table.data) <= MOST_STARS:
        raise InputError(f"its TARGET has {len(table.data)} rows; 1 to {MOST_STARS} were expected")
    catalogue, number = (integers(column(table, name), name) for name in ("catid", "objid"))
    return [star_name(one, other) for one, other in zip(catalogue, number, strict=True)]


def _product(hdus: fits.HDUList) -> str:
    visits = numbers(column(part(hdus, "OBSERVATIONS"), "visit"), "visits")
    return "pfsCalibrated" if np.unique(visits).size == 1 else "pfsCoadd"


def _rows(hdus: fits.HDUList, name: str, count: int) -> list[np.ndarray]:
    """Return one array of numbers a star; the same object where all share it."""
    held = part(hdus, name)
    if is_table(held):
        return _counted([numbers(one, name) for one in column(held, "value")], name, count)
    values = as_numbers(held.data, name)
    if values.ndim == 1 and name == "WAVELENGTH":
        return [numbers(values, name)] * count
    if values.ndim != 2:
        raise InputError(f"its {name} has the shape {values.shape}; stars × pixels were expected")
    if name == "WAVELENGTH" and len(values) and np.all(values == values[0]):
        return _counted([numbers(values[0], name)] * len(values), name, count)
    return _counted(list(numbers(values, name)), name, count)


def _masks(hdus: fits.HDUList, count: int, reject: str) -> list[np.ndarray]:
    """Return where each star's pixels are rejected. reject: see `masks.rejected`."""
    held, planes = part(hdus, "MASK"), _planes(hdus, count)
    if not is_table(held) and all(one is planes[0] for one in planes):
        together = rejected(integers(held.data, "MASK"), planes[0], reject)
        return _counted(list(together), "MASK", count)
    rows = column(held, "value") if is_table(held) else held.data
    each = _counted([integers(one, "MASK") for one in rows], "MASK", count)
    return [rejected(*pair, reject) for pair in zip(each, planes, strict=True)]


def _covariances(hdus: fits.HDUList, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return variance and covariances of each star; see `pfs_star.covariance`."""
    held = part(hdus, "COVAR")
    if not is_table(held):
        together = as_numbers(held.data, "COVAR")
        _counted(together, "COVAR", count)
        return list(zip(*covariance(together), strict=True))
    bands = [[numbers(one, "COVAR") for one in column(held, f"row_{n}")] for n in range(3)]
    if any(len({band.size for band in star}) > 1 for star in zip(*bands, strict=True)):
        raise InputError("the rows of its COVAR have different lengths")
    each = _counted([np.stack(star) for star in zip(*bands, strict=True)], "COVAR", count)
    return [covariance(one) for one in each]


def _counted(values: _Rows, name: str, count: int) -> _Rows:
    if len(values) != count:
        raise InputError(f"its {name} has {len(values)} rows, its TARGET {count}")
    return values


def _planes(hdus: fits.HDUList, count: int) -> list[dict[str, int]]:
    """Return the planes of each star's mask, by the text of its metadata."""
    table = part(hdus, "METADATA")
    if not is_table(table) or "metadata" not in column_names(table):
        raise InputError("its METADATA is no table with a column metadata")
    _counted(table.data, "METADATA", count)
    told = texts(table, "metadata")
    known = {one: planes_of(_loaded(one)) for one in set(told)}
    return [known[one] for one in told]


def _loaded(written: str) -> Mapping[str, Any]:
    if len(written) > _LONGEST:
        raise InputError(f"a text of its METADATA has {len(written)} characters; that is not read")
    try:
        value = yaml.load(written, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        told = " ".join(str(error).split())[:120]
        raise InputError(f"a text of its METADATA cannot be read: {told}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"a text of its METADATA is a {type(value).__name__}, no table of names")
    return value
