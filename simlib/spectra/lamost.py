"""LAMOST low resolution: rows of an image (releases to 7), or a table of one row (from 8 on).

Flux is calibrated relatively, wavelengths are in vacuum, moved to the Sun's frame.
"""

from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import marks, numbers
from simlib.spectra.fits_file import cards, column, column_names, is_table
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import RELATIVE
from simlib.spectra.variance import inverted

_FLUX, _IVAR, _WAVELENGTH, _AND, _OR = range(5)  # rows of the image
RESOLUTION = 1800.0


def is_lamost(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return "LAMOST" in str(cards(hdus[0]).get("TELESCOP", "")).upper()


def read_lamost(hdus: fits.HDUList, _: Stated) -> list[Observed]:
    """Return the spectrum."""
    told = cards(hdus[0])
    flux, ivar, angstrom, bad = _table(hdus) if _has_table(hdus) else _image(hdus)
    return [
        Observed(
            name=str(told.get("OBSID", "spectrum"))[:40],
            product="LAMOST",
            wavelength=0.1 * angstrom,
            flux=flux,
            variance=inverted(ivar),
            mask=bad,
            unit=RELATIVE,
            frame="heliocentric" if told.get("HELIO") else "",
            resolution=RESOLUTION,
            notes=("its flux is calibrated relatively",),
        )
    ]


def _has_table(hdus: fits.HDUList) -> bool:
    return len(hdus) > 1 and is_table(hdus[1]) and "flux" in column_names(hdus[1])


def _image(hdus: fits.HDUList) -> tuple[np.ndarray, ...]:
    data = hdus[0].data
    values = numbers(data if data is not None else [], "image")
    if values.ndim != 2 or len(values) < _OR:
        raise InputError(f"its image has the shape {values.shape}; 5 rows of pixels were expected")
    return values[_FLUX], values[_IVAR], values[_WAVELENGTH], values[_AND] != 0


def _table(hdus: fits.HDUList) -> tuple[np.ndarray, ...]:
    known: dict[str, Any] = column_names(hdus[1])
    flux, ivar, angstrom = (
        numbers(column(hdus[1], name), name).ravel() for name in ("flux", "ivar", "wavelength")
    )
    if "andmask" not in known:
        return flux, ivar, angstrom, np.zeros(flux.shape, dtype=bool)
    return flux, ivar, angstrom, marks(column(hdus[1], "andmask"), "andmask").ravel()
