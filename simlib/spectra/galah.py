"""GALAH: one camera of HERMES, normalised to the continuum, with a relative error.

Wavelengths are in Angstrom and air, in the frame of the solar system's centre.
"""

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.fits_file import cards, image, names
from simlib.spectra.images import linear_wavelengths
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import RELATIVE, vacuum_nm

_PARTS = {"NORMALIZED", "RELATIVE_ERROR"}
_CLEAR = 0.98  # transmission of the air below which what was divided out has left its marks


def is_galah(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return names(hdus) >= _PARTS


def read_galah(hdus: fits.HDUList, _: Stated) -> list[Observed]:
    """Return the spectrum of the file's camera."""
    flux, relative = image(hdus, "NORMALIZED"), image(hdus, "RELATIVE_ERROR")
    if flux.ndim != 1 or flux.shape != relative.shape:
        raise InputError(
            f"its NORMALIZED has the shape {flux.shape}, RELATIVE_ERROR {relative.shape}; one "
            "star's pixels were expected"
        )
    told = cards(hdus["NORMALIZED"])
    angstrom = linear_wavelengths(told, flux.size)
    with np.errstate(invalid="ignore", over="ignore"):
        error = relative * np.abs(flux)
        variance = np.where(error > 0.0, np.square(error), np.inf)
    wavelength = vacuum_nm(angstrom, ("Angstrom",), ("air",))
    return [
        Observed(
            name=str(cards(hdus[0]).get("OBJECT", "spectrum"))[:40],
            product="GALAH",
            wavelength=wavelength,
            flux=flux,
            variance=variance,
            mask=_telluric(hdus, flux.shape),
            unit=RELATIVE,
            frame="barycentric",
            telluric="corrected",
            resolution=_resolution(hdus, wavelength),
            notes=("normalised to the continuum; masked where the air absorbs",),
        )
    ]


def _telluric(hdus: fits.HDUList, shape: tuple[int, ...]) -> np.ndarray:
    """Return where the air absorbs, by the part of that name, which they spell with one l."""
    if "TELURIC" in names(hdus):
        transmission = image(hdus, "TELURIC")
        if transmission.shape == shape:
            return np.asarray(transmission < _CLEAR)
    return np.zeros(shape, dtype=bool)


def _resolution(hdus: fits.HDUList, wavelength: np.ndarray) -> float | None:
    """Return the median resolution, of a profile of widths (FWHM) in Angstrom."""
    if "RESOLUTION_PROFILE" not in names(hdus):
        return None
    width = image(hdus, "RESOLUTION_PROFILE")
    if width.shape != wavelength.shape:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10.0 * wavelength / width
    is_known = np.isfinite(found) & (found > 0.0)
    return float(np.median(found[is_known])) if is_known.any() else None
