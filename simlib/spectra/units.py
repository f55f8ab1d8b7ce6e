"""Units of observed flux and wavelength: parsed by astropy, converted by the project's constants.

A network knows flux per wavelength alone; its scale does not matter, its shape does.
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simlib.air_wavelengths import air_to_vacuum
from simlib.errors import InputError, shown
from simlib.units import FLUX_UNIT, FLUX_UNIT_NAME, nanojansky

MEDIA = ("vacuum", "air")
_LONGEST = 80  # characters of a unit


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


def flux_unit(said: str | None, stated: str | None) -> FluxUnit:
    """Return the unit of a flux. said: by the file. stated: by a person, where the file does not.

    Raises InputError, naming the flag, where neither is a flux density.
    """
    for text in (said, stated):
        if text and (found := _flux_unit(text)) is not None:
            return found
    if stated:
        raise InputError(
            f"--flux-unit {shown(stated)} is no flux density; give for example nJy, "
            "'erg/(s cm2 AA)' or relative"
        )
    found_text = f"its flux is in {shown(said)}" if said else "it does not say its unit of flux"
    raise InputError(
        f"{found_text}; say with --flux-unit what it is: nJy, 'erg/(s cm2 AA)', … or relative "
        "(an arbitrary scale, the shape that of flux per wavelength)"
    )


def _flux_unit(text: str) -> FluxUnit | None:
    from astropy import units  # noqa: PLC0415  (slow to load, and most formats say theirs by kind)

    if text.strip().lower() == "relative":
        return RELATIVE
    unit = _parsed(text)
    if unit is None:
        return None
    try:
        per_angstrom = float(unit.to(units.erg / units.s / units.cm**2 / units.AA)) / FLUX_UNIT
        return (
            FluxUnit(text.strip(), "wavelength", per_angstrom) if _is_size(per_angstrom) else None
        )
    except units.UnitConversionError:
        pass
    try:
        nano = float(unit.to(units.nJy))
    except units.UnitConversionError:
        return None
    return FluxUnit(text.strip(), "frequency", nano) if _is_size(nano) else None


def _is_size(value: float) -> bool:
    return 1e-100 < value < 1e100


def _parsed(text: str):  # type: ignore[no-untyped-def]  # astropy has no types of its own
    from astropy import units  # noqa: PLC0415

    if len(text) > _LONGEST:
        return None
    written = re.sub(r"\bAng(stroms?)?\b", "Angstrom", text.strip(), flags=re.IGNORECASE)
    try:
        return units.Unit(written)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def vacuum_nm(
    wavelength: np.ndarray,
    said: tuple[str | None, str | None],
    stated: tuple[str | None, str | None],
) -> np.ndarray:
    """Return wavelengths in nm and vacuum. said, stated: unit and medium, by the file, a person.

    Raises InputError, naming the flag, for what neither says.
    """
    unit, medium = (of_file or of_person for of_file, of_person in zip(said, stated, strict=True))
    if not unit:
        raise InputError(
            "it does not say its unit of wavelength; say with --wavelength-unit what it is: nm, "
            "Angstrom, …"
        )
    if not medium:
        raise InputError(
            "it does not say whether its wavelengths are those of air or of vacuum, 80 km/s apart; "
            "say it with --medium"
        )
    if medium not in MEDIA:
        raise InputError(f"--medium {shown(medium)} is unknown; known: {', '.join(MEDIA)}")
    length = wavelength * _nanometres(unit)
    return in_vacuum(length) if medium == "air" else length


def in_vacuum(wavelength_air_nm: np.ndarray) -> np.ndarray:
    """Return vacuum wavelengths; those shorter than 200 nm, of which no air is known, as NaN."""
    is_known = wavelength_air_nm >= 200.0
    with np.errstate(invalid="ignore", over="ignore"):
        found = air_to_vacuum(np.where(is_known, wavelength_air_nm, np.nan))
    return np.asarray(found)


def _nanometres(text: str) -> float:
    from astropy import units  # noqa: PLC0415

    unit = _parsed(text)
    try:
        length = float(unit.to(units.nm))
    except (units.UnitConversionError, AttributeError, TypeError):
        raise InputError(
            f"its wavelengths are in {shown(text)}, which is no length; say with "
            "--wavelength-unit what it is: nm, Angstrom, …"
        ) from None
    return length
