"""Units of observed flux and wavelength: parsed by astropy, converted by the project's constants.

A network knows flux per wavelength alone; its scale does not matter, its shape does. Of several
words for one thing, in the order in which they are believed, the first that can be used counts.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from simlib.air_wavelengths import air_to_vacuum
from simlib.errors import InputError, shown
from simlib.units import FLUX_UNIT, FLUX_UNIT_NAME, nanojansky

MEDIA = ("vacuum", "air")
_LONGEST = 80  # characters of a unit
_POWER = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)(?:\*\*|\^)?\(?([+-]?\d)\)?")
_UNSAID = "it does not say its unit of wavelength"
_NO_MEDIUM = "it does not say the medium of its wavelengths"


@dataclass(frozen=True)
class FluxUnit:
    """A unit of flux density.

    size: of one, in 1e-17 erg s-1 cm-2 AA-1 where it is per wavelength, in nJy where it is per
    frequency; 1 where the scale is arbitrary, and the shape that of flux per wavelength.
    """

    name: str
    per: Literal["wavelength", "frequency", "relative"]
    size: float = 1.0

    def per_wavelength(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return what flux in this unit is multiplied by to be 1e-17 erg s-1 cm-2 AA-1."""
        if self.per == "frequency":
            return self.size / nanojansky(1.0, wavelength_nm)
        return np.full(np.shape(wavelength_nm), self.size)


NANOJANSKY = FluxUnit("nJy", "frequency")
PER_ANGSTROM = FluxUnit(FLUX_UNIT_NAME, "wavelength")
RELATIVE = FluxUnit("relative", "relative")


def flux_unit(*words: str | None) -> FluxUnit:
    """Return the unit of a flux. words: those of the file, then a person's.

    Raises InputError, naming the flag, where none is a flux density.
    """
    for text in words:
        if text and (found := as_flux_unit(text)) is not None:
            return found
    said = _first(words)
    found_text = f"its flux is in {shown(said)}" if said else "it does not say its unit of flux"
    raise InputError(
        f"{found_text}; say with --flux-unit what it is: nJy, 'erg/(s cm2 AA)', … or relative "
        "(an arbitrary scale, the shape that of flux per wavelength)"
    )


def as_flux_unit(text: str) -> FluxUnit | None:
    """Return the unit that a word means, None where that is no flux density."""
    if text.strip().lower() == "relative":
        return RELATIVE
    unit = parsed(text)
    return None if unit is None else density(unit, text.strip())


def density(unit: Any, name: str) -> FluxUnit | None:
    """Return a unit of astropy as one of flux density, None where it is none."""
    from astropy import units  # noqa: PLC0415  (slow to load, and most formats say theirs by kind)

    try:
        per_angstrom = float(unit.to(units.erg / units.s / units.cm**2 / units.AA)) / FLUX_UNIT
        return FluxUnit(name, "wavelength", per_angstrom) if _is_size(per_angstrom) else None
    except units.UnitConversionError:
        pass
    try:
        nano = float(unit.to(units.nJy))
    except units.UnitConversionError:
        return None
    return FluxUnit(name, "frequency", nano) if _is_size(nano) else None


def _first(words: tuple[str | None, ...]) -> str:
    return next((word for word in words if word), "")


def _is_size(value: float) -> bool:
    return 1e-100 < value < 1e100


def parsed(text: str) -> Any:
    """Return a word as a unit of astropy, None where it is none."""
    from astropy import units  # noqa: PLC0415

    if len(text) > _LONGEST:
        return None
    written = re.sub(r"\bAng(stroms?)?\b", "Angstrom", text.strip(), flags=re.IGNORECASE)
    # Astropy knows no power of what stands in parentheses, as which variances are given.
    whole = _POWER.fullmatch(written)
    base, power = (whole[1], int(whole[2])) if whole else (written, 1)
    try:
        return units.Unit(base) ** power
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def vacuum_nm(
    wavelength: np.ndarray, lengths: tuple[str | None, ...], media: tuple[str | None, ...]
) -> np.ndarray:
    """Return wavelengths in nm and vacuum. lengths, media: words for the unit and the medium.

    Raises InputError, naming the flag, where none can be used.
    """
    size = next((nm for word in lengths if word and (nm := nanometres(word)) is not None), None)
    if size is None:
        said = _first(lengths)
        raise InputError(
            f"{f'its wavelengths are in {shown(said)}, which is no length' if said else _UNSAID}; "
            "say with --wavelength-unit what it is: nm, Angstrom, …"
        )
    medium = next((word for word in map(as_medium, media) if word), None)
    if medium is None:
        said = _first(media)
        raise InputError(
            f"{f'its wavelengths are those of {shown(said)}' if said else _NO_MEDIUM}; say with "
            "--medium whether they are those of vacuum or of air, 80 km/s apart"
        )
    return in_vacuum(wavelength * size) if medium == "air" else wavelength * size


def as_medium(text: str | None) -> str | None:
    """Return the medium that a word means, in letters of any case; None where it means none."""
    word = (text or "").strip().lower()
    return word if word in MEDIA else None


def in_vacuum(wavelength_air_nm: np.ndarray) -> np.ndarray:
    """Return vacuum wavelengths; those shorter than 200 nm, of which no air is known, as NaN."""
    is_known = wavelength_air_nm >= 200.0
    with np.errstate(invalid="ignore", over="ignore"):
        found = air_to_vacuum(np.where(is_known, wavelength_air_nm, np.nan))
    return np.asarray(found)


def nanometres(text: str) -> float | None:
    """Return one of the unit that a word means, in nm; None where it is no length."""
    from astropy import units  # noqa: PLC0415

    try:
        length = float(parsed(text).to(units.nm))
    except (units.UnitConversionError, AttributeError, TypeError):
        return None
    return length if _is_size(length) else None
