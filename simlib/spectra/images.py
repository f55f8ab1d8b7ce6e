"""Any FITS image of one row: a flux, wavelengths by the header, its errors in a further part."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import cards, image, is_table, mask_image, names
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import flux_unit, vacuum_nm
from simlib.spectra.variance import POWERS, Flux, variance_of

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
    wavelength = vacuum_nm(
        linear_wavelengths(told, flux.size),
        (_word(told, "CUNIT1"), stated.wavelength_unit),
        (_MEDIA.get(kind), stated.medium),
    )
    name = next((name for name in POWERS if name.upper() in names(hdus)), None)
    if name is None:
        raise InputError(f"it has no errors; a part named {', '.join(POWERS).upper()} was expected")
    masks = [np.squeeze(mask_image(hdus, one)) != 0 for one in _MASKS if one in names(hdus)]
    word = _word(told, "BUNIT")
    unit = flux_unit(word, stated.flux_unit)
    variance, notes = variance_of(
        np.squeeze(image(hdus, name.upper())),
        name,
        _word(cards(hdus[name.upper()]), "BUNIT"),
        Flux(unit, (word,), wavelength),
    )
    return [
        Observed(
            name=str(told.get("OBJECT", "spectrum"))[:40],
            product="image",
            wavelength=wavelength,
            flux=flux,
            variance=variance,
            mask=masks[0] if masks else np.zeros(flux.shape, dtype=bool),
            unit=unit,
            notes=notes,
        )
    ]


def _word(told: Mapping[str, Any], card: str) -> str:
    return str(told.get(card, "")).strip()


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
