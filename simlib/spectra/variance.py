"""The errors of a flux, in any of the forms that files have them, as its variance in its own unit.

What does not say its unit has that of the flux, to the power that belongs to its form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from simlib.errors import InputError, shown
from simlib.spectra.units import FluxUnit, density, parsed

# Name in small letters, of which the first in a file counts -> the power of the flux's unit.
POWERS: dict[str, int] = {
    "variance": 2, "var": 2, "stat": 2,
    "ivar": -2, "inverse_variance": -2, "flux_ivar": -2,
    "error": 1, "err": 1, "sigma": 1, "flux_error": 1, "flux_err": 1, "e_flux": 1,
    "uncertainty": 1, "std": 1,
}  # fmt: skip


def inverted(inverse_variance: np.ndarray) -> np.ndarray:
    """Return the variance of an inverse variance: infinite where that is zero or none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(inverse_variance > 0.0, 1.0 / inverse_variance, np.inf)


def squared(error: np.ndarray) -> np.ndarray:
    """Return the variance of a sigma; a negative sigma has none."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(error > 0.0, np.square(error), np.inf)


_OF_POWER: dict[int, Callable[[np.ndarray], np.ndarray]] = {2: np.asarray, -2: inverted, 1: squared}


@dataclass(frozen=True)
class Flux:
    """What the errors are of. words: of the file for its unit. wavelength: nm, as wide as they."""

    unit: FluxUnit
    words: Sequence[str | None]
    wavelength: np.ndarray


def variance_of(
    values: np.ndarray, name: str, unit: str | None, flux: Flux
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the variance in the flux's unit, and what was assumed, for a person.

    name: a key of `POWERS`. unit: of the values, by the file. Raises InputError for another unit
    than one of the flux.
    """
    power = POWERS[name]
    variance = _OF_POWER[power](values)
    said = next((word for word in flux.words if word), "")
    same = {said} if power == 1 else {f"{said}{power}", f"({said})**{power}"}
    if not unit or unit in same:
        return variance, ()
    if (known := parsed(unit)) is None:
        return variance, (f"the unit of its {name}, {shown(unit)}, is not known: that of its flux",)
    size = _size(known ** Fraction(1, power), said, flux)
    if size is None:
        raise InputError(
            f"its {name} is in {shown(unit)}, its flux in {shown(said or flux.unit.name)}; the "
            f"unit of its flux{'' if power == 1 else f' to the power {power}'} was expected"
        )
    if np.ndim(size) and np.shape(size)[-1] != np.shape(variance)[-1]:
        raise InputError(
            f"its {name} has {np.shape(variance)[-1]} pixels, its wavelength {np.shape(size)[-1]}"
        )
    with np.errstate(over="ignore"):
        return variance * np.square(size), ()


def _size(unit: Any, said: str, flux: Flux) -> float | np.ndarray | None:
    """Return one of a unit in that of the flux; None where it is of another kind."""
    from astropy import units  # noqa: PLC0415  (slow to load)

    of_flux = parsed(said) if said else None
    if of_flux is not None:
        try:
            return float(unit.to(of_flux))
        except units.UnitConversionError:
            pass
    found = density(unit, "")
    if found is None or flux.unit.per == "relative":
        return None
    if found.per == flux.unit.per:
        return found.size / flux.unit.size
    at = flux.wavelength
    return np.asarray(found.per_wavelength(at) / flux.unit.per_wavelength(at))
