"""Any FITS image of one row: a flux, wavelengths by the header, its errors in a further part."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import inverted, numbers, squared
from simlib.spectra.fits_file import cards, image, is_table, mask_image, names
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import flux_unit, vacuum_nm

_ERRORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "VARIANCE": np.asarray, "VAR": np.asarray, "STAT": np.asarray,
    "IVAR": inverted, "SIGMA": squared, "ERROR": squared, "ERR": squared,
}  # fmt: skip
_MASKS = ("MASK", "DQ")
_MEDIA = {"WAVE": "vacuum", "AWAV": "air"}
_LOGARITHMIC = 1  # of DC-FLAG


def is_image(hdus: fits.HDUList) -> bool:
    """Return whether the first part with data is an image of one row."""
    found = _flux_part(hdus)
    return found is not None and not is_table(found)


def _flux_part(hdus: fits.HDUList) -> Any:
    return next((hdu for hdu in hdus if getattr(hdu, "shape", None) or is_table(hdu)), None)


def read_image(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return the spectrum. Raises InputError for what it does not say and nobody states."""
    held = _flux_part(hdus)
    flux = np.squeeze(numbers(held.data, "image"))
    if flux.ndim != 1:
        raise InputError(f"its image has the shape {flux.shape}; one spectrum was expected")
    told = cards(held)
    kind = str(told.get("CTYPE1", "")).strip().upper().partition("-")[0]
    said = (str(told.get("CUNIT1", "")).strip(), _MEDIA.get(kind))
    wavelength = vacuum_nm(
        linear_wavelengths(told, flux.size), said, (stated.wavelength_unit, stated.medium)
    )
    name = next((name for name in _ERRORS if name in names(hdus)), None)
    if name is None:
        raise InputError(f"it has no errors; a part named {', '.join(_ERRORS)} was expected")
    masks = [np.squeeze(mask_image(hdus, one)) != 0 for one in _MASKS if one in names(hdus)]
    return [
        Observed(
            name=str(told.get("OBJECT", "spectrum"))[:40],
            product="image",
            wavelength=wavelength,
            flux=flux,
            variance=_ERRORS[name](np.squeeze(image(hdus, name))),
            mask=masks[0] if masks else np.zeros(flux.shape, dtype=bool),
            unit=flux_unit(str(told.get("BUNIT", "")).strip(), stated.flux_unit),
        )
    ]


def linear_wavelengths(told: Mapping[str, Any], pixels: int) -> np.ndarray:
    """Return the wavelengths that a header gives, in its own unit, even or evenly in logarithm.

    Raises InputError where it gives none.
    """
    try:
        start, reference = float(told["CRVAL1"]), float(told.get("CRPIX1", 1.0))
        step = float(told["CDELT1"] if "CDELT1" in told else told["CD1_1"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            "its header gives no wavelengths: numbers for CRVAL1 and CDELT1 were expected"
        ) from None
    along = step * (1.0 + np.arange(pixels) - reference)
    kind = str(told.get("CTYPE1", "")).strip().upper()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if kind.endswith("-LOG"):
            return np.asarray(start * np.exp(along / start)) if start else np.full(pixels, np.nan)
        if told.get("DC-FLAG") == _LOGARITHMIC:
            return np.asarray(10.0 ** (start + along))
    if kind and kind not in {"WAVE", "AWAV", "LINEAR", "WAVELENGTH", "LAMBDA"}:
        raise InputError(f"its CTYPE1 is {kind[:20]!r}; WAVE, AWAV, LINEAR or …-LOG are known")
    return np.asarray(start + along)
