"""The parts that our verbs put into FITS files beside spectra, and how they are read back.

`simulate` writes the noiseless flux, SIMULATED, and the table LIST of all that was known of the
stars. `denoise` writes DENOISED, ERROR and FLAG on the pixels of the file's own spectra: one row,
or stars × pixels; where lengths differ, each spectrum has its own three, of one EXTVER, in the
order of the table DENOISER, which holds one row a spectrum. In a file with an ERROR or a FLAG of
its own ours are numbered on from those: they have the EXTVER of DENOISED.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import column, column_names, is_table, names, opened

DENOISED, ERROR, FLAG = PARTS = ("DENOISED", "ERROR", "FLAG")
TABLE = "DENOISER"
SIMULATED, LIST = "SIMULATED", "LIST"


@dataclass(frozen=True, eq=False)
class Own:
    """What stands beside one spectrum: curves on its pixels, and what is told of it, by name."""

    curves: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def read_own(data: bytes | None, count: int) -> list[Own]:
    """Return what a FITS file holds beside each of its spectra; of no FITS, nothing.

    Raises InputError where it does not fit to so many spectra.
    """
    if data is None:
        return [Own() for _ in range(count)]
    with opened(data) as hdus:
        curves: dict[str, list[np.ndarray]] = {}
        if SIMULATED in names(hdus):
            curves["flux"] = _counted(_rows(hdus, SIMULATED), SIMULATED, count)
        if DENOISED in names(hdus):
            numbered = sorted(hdu.ver for hdu in hdus if hdu.name == DENOISED)
            for name, part in (("flux_denoised", DENOISED), ("error", ERROR)):
                some = [_rows(hdus, (part, number)) for number in numbered]
                curves[name] = _counted([row for one in some for row in one], part, count)
        tables = [_table(hdus, name, count) for name in (LIST, TABLE)]
    return [
        Own(
            {name: values[row] for name, values in curves.items()},
            {name: values[row] for table in tables for name, values in table.items()},
        )
        for row in range(count)
    ]


def _rows(hdus: fits.HDUList, key: str | tuple[str, int]) -> list[np.ndarray]:
    if key not in hdus or is_table(hdus[key]) or hdus[key].data is None:
        raise InputError(f"it has no image {key}")
    return list(np.atleast_2d(numbers(hdus[key].data, f"part {key}")))


def _counted(rows: list[np.ndarray], name: str, count: int) -> list[np.ndarray]:
    if len(rows) != count:
        raise InputError(f"its {name} has {len(rows)} rows; it holds {count} spectra")
    return rows


def _table(hdus: fits.HDUList, name: str, count: int) -> Mapping[str, Any]:
    """Return the columns of a table with a row a spectrum, none where there is no such table."""
    if name not in names(hdus) or not is_table(hdus[name]) or len(hdus[name].data) != count:
        return {}
    return {low: column(hdus[name], low) for low in column_names(hdus[name])}
