"""One star of the survey a file: `pfsSingle` (one visit) and `pfsObject` (a stack of visits).

Flux is in nJy in vacuum by the data model, which writes no units. It is known by its parts, never
by its name.
"""

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra import fits_file
from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import cards, image, mask_image, names, part
from simlib.spectra.masks import planes_of, rejected
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import NANOJANSKY

FRAME = "barycentric"  # applied where the arms are merged
_NEAR_PIXELS = 0.5


def is_star(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return {"TARGET", "FLUX", "MASK", "COVAR"} <= names(hdus) and "TARGETFLUX" not in names(hdus)


def read_star(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return the star. Raises InputError for what the data model does not have."""
    flux, mask = image(hdus, "FLUX"), mask_image(hdus, "MASK")
    if flux.ndim != 1:
        raise InputError(f"its FLUX has the shape {flux.shape}; one star's pixels were expected")
    wavelength, note = wavelengths(hdus, flux.size)
    variance, beside = covariance(image(hdus, "COVAR"))
    planes = planes_of(cards(part(hdus, "MASK")))
    return [
        Observed(
            name=_name(hdus),
            product=_product(hdus),
            wavelength=wavelength,
            flux=flux,
            variance=variance,
            mask=rejected(mask, planes, stated.reject),
            unit=NANOJANSKY,
            beside=beside,
            frame=FRAME,
            notes=(note,) if note else (),
        )
    ]


def _product(hdus: fits.HDUList) -> str:
    """Tell a stack from a visit; both have the same parts."""
    if "OBSERVATIONS" not in names(hdus):
        return "pfsObject"
    try:
        visits = np.unique(numbers(fits_file.column(hdus["OBSERVATIONS"], "visit"), "visits"))
    except InputError:
        return "pfsObject"
    return "pfsSingle" if visits.size == 1 else "pfsObject"


def _name(hdus: fits.HDUList) -> str:
    told = cards(hdus["TARGET"])
    return star_name(told.get("CATID", 0), told.get("OBJID", 0))


def star_name(catalogue: object, number: object) -> str:
    """Return a star's name: catalogue and number in it, as the survey's file names have them."""
    try:
        return f"{int(catalogue):05d}-{int(number) & (2**64 - 1):016x}"  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return "star"


def covariance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variance (…, pixels), and covariances (…, 2, pixels) with the next two pixels.

    The variance is float64, the covariances are where and as they were, unless some are no numbers.
    """
    if values.ndim < 2 or values.shape[-2] != 3:
        raise InputError(f"its COVAR has the shape {values.shape}; 3 rows of pixels were expected")
    beside = values[..., 1:, :]
    if not np.isfinite(beside).all():
        beside = np.nan_to_num(beside.astype(float), posinf=0.0)
    return np.ascontiguousarray(values[..., 0, :], dtype=float), beside


def wavelengths(hdus: fits.HDUList, pixels: int) -> tuple[np.ndarray, str]:
    """Return wavelengths, nm, and what was done to have them, empty where nothing.

    An explicit array comes first. Headers of the survey's own program count the pixels one too
    high: its files' wavelengths are moved by one, unless the table of the flux shows them right.
    """
    if "WAVELENGTH" in names(hdus):
        return image(hdus, "WAVELENGTH"), ""
    told = cards(hdus["FLUX"])
    keys = ("CRVAL1", "CRPIX1", "CDELT1")
    try:
        start, reference, step = (float(told[key]) for key in keys)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            "it has neither a part WAVELENGTH nor the cards CRVAL1, CRPIX1, CDELT1 in that of FLUX"
        ) from None
    per_nm = {"m": 1e9, "nm": 1.0, "angstrom": 0.1}.get(str(told.get("CUNIT1", "m")).lower())
    if per_nm is None:
        raise InputError(f"its CUNIT1 is {str(told['CUNIT1'])[:40]!r}; m, nm or Angstrom is known")
    seen = (start + step * (1.0 + np.arange(pixels) - reference)) * per_nm
    pitch = step * per_nm
    table = _table_wavelengths(hdus, pixels)
    if table is not None and np.all(np.abs(table - seen) < 1.5 * abs(pitch)):
        is_moved = bool(np.median(np.abs(table - seen)) > _NEAR_PIXELS * abs(pitch))
        return table, "header counts pixels one too high" if is_moved else ""
    if "DAMD_VER" in told:
        return seen + pitch, "wavelengths of the header moved by one pixel, as its program means it"
    return seen, ""


def _table_wavelengths(hdus: fits.HDUList, pixels: int) -> np.ndarray | None:
    for name in ("FLUX_TABLE", "FLUXTABLE"):
        if name in names(hdus) and fits_file.is_table(hdus[name]):
            known = fits_file.column_names(hdus[name])
            if "wavelength" in known and len(hdus[name].data) == pixels:
                return numbers(fits_file.column(hdus[name], "wavelength"), "FLUX_TABLE")
    return None
