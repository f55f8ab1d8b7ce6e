"""SDSS and BOSS: a stack and, behind it, its single exposures, each a table of `loglam`.

Flux is in 1e-17 erg s-1 cm-2 AA-1, wavelengths are in vacuum, moved to the Sun's frame.
"""

import numpy as np
from astropy.io import fits

from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import column, column_names, is_table
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import PER_ANGSTROM
from simlib.spectra.variance import inverted
from simlib.units import FWHM_PER_SIGMA

_NEEDED = {"flux", "loglam", "ivar"}
_ARM_NM = (710.0, 885.0)  # where the resolution is told


def is_sdss(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return len(hdus) > 1 and _is_spectrum(hdus[1])


def _is_spectrum(hdu: fits.hdu.base.ExtensionHDU) -> bool:
    return is_table(hdu) and set(column_names(hdu)) >= _NEEDED


def read_sdss(hdus: fits.HDUList, _: Stated) -> list[Observed]:
    """Return the stack, and the exposures of the red camera where the file holds them."""
    tables = [hdu for hdu in hdus if _is_spectrum(hdu)]
    return [_spectrum(hdu) for hdu in tables if not hdu.name.upper().startswith(("B1-", "B2-"))]


def _spectrum(hdu: fits.BinTableHDU) -> Observed:
    logarithm = numbers(column(hdu, "loglam"), "loglam")
    with np.errstate(over="ignore", invalid="ignore"):
        wavelength = 0.1 * 10.0**logarithm
    flux = numbers(column(hdu, "flux"), "flux")
    known = column_names(hdu)
    return Observed(
        name=hdu.name or "coadd",
        product="SDSS",
        wavelength=wavelength,
        flux=flux,
        variance=inverted(numbers(column(hdu, "ivar"), "ivar")),
        mask=np.zeros(flux.shape, dtype=bool),  # of what is bad `ivar` is zero
        unit=PER_ANGSTROM,
        frame="heliocentric",
        resolution=_resolution(hdu, logarithm, wavelength) if "wdisp" in known else None,
    )


def _resolution(
    hdu: fits.BinTableHDU, logarithm: np.ndarray, wavelength: np.ndarray
) -> float | None:
    """Return the median resolution in the arm; wdisp: sigma of lines, in pixels."""
    width = numbers(column(hdu, "wdisp"), "wdisp")
    if width.shape != wavelength.shape or width.size < 2:
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        step = np.abs(np.gradient(logarithm)) * np.log(10.0)
        found = 1.0 / (FWHM_PER_SIGMA * width * step)
        inside = (wavelength > _ARM_NM[0]) & (wavelength < _ARM_NM[1]) & np.isfinite(found)
    return float(np.median(found[inside])) if inside.any() else None
