"""Columns by their names, whatever file they are in: FITS tables, ECSV, CSV, NPZ.

One row a pixel, or arrays of spectra × pixels. A name may say the unit (`wavelength_nm`), a column
may have one, and what neither says is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simlib.errors import InputError
from simlib.spectra.arrays import marks, numbers, rows
from simlib.spectra.frames import as_frame, as_telluric
from simlib.spectra.observed import Observed, Stated, as_resolution
from simlib.spectra.units import flux_unit, vacuum_nm
from simlib.spectra.variance import POWERS, Flux, variance_of

_WAVELENGTHS = ("wavelength", "wave", "lambda", "lam", "wl")
_LOGARITHMS = ("loglam", "log_wavelength", "loglambda")  # of Angstrom
_FLUXES = ("flux_noisy", "flux", "spec", "spectrum", "flux_density")
_MASKS = ("mask", "flag", "flags", "bad", "and_mask", "dq")
WORDS = ("medium", "flux_unit", "wavelength_unit", "resolution", "frame", "telluric")
_LENGTHS = {"nm": "nm", "angstrom": "Angstrom", "aa": "Angstrom", "a": "Angstrom", "um": "um"}
_DENSITIES = {"njy": "nJy", "ujy": "uJy", "mjy": "mJy", "jy": "Jy"}


@dataclass(frozen=True)
class Columns:
    """What a file has: values by name in small letters, the unit of each where it says one.

    told: further words of the file, by a name of `WORDS`.
    """

    product: str
    values: Mapping[str, Any]
    units: Mapping[str, str]
    told: Mapping[str, str]


@dataclass(frozen=True)
class _Found:
    """A column. stem: its name without a unit. ending: the unit behind it. unit: its own."""

    values: np.ndarray
    stem: str
    ending: str
    unit: str

    @property
    def said(self) -> str:
        return self.ending or self.unit


def has_spectrum(names: set[str]) -> bool:
    """Return whether columns of these names, in small letters, are those of a spectrum."""
    wavelength = (*_WAVELENGTHS, *_LOGARITHMS)
    return all(
        any(_stem(name, wanted) is not None for name in names for wanted in group)
        for group in (wavelength, _FLUXES)
    )


def read_columns(columns: Columns, stated: Stated) -> list[Observed]:
    """Return the spectra. Raises InputError, naming column or flag, for what is missing."""
    flux = _find(columns, _FLUXES, "a flux")
    error = _find(columns, tuple(POWERS), "its errors")
    mask = _optional(columns, _MASKS, marks)
    wavelength = _wavelength(columns, stated)
    words = (flux.said, columns.told.get("flux_unit"))
    unit = flux_unit(*words, stated.flux_unit)
    values = np.atleast_2d(flux.values)
    count = len(values)
    power = POWERS[error.stem]
    # behind a name stands the unit of the flux, whatever the form
    said = f"{error.ending}{power}" if error.ending and power != 1 else error.said
    variance, notes = variance_of(error.values, error.stem, said, Flux(unit, words, wavelength))
    variance = rows(variance, count, error.stem)
    bad = rows(mask.values, count, mask.stem) if mask else np.zeros(values.shape, dtype=bool)
    at = (
        [wavelength] * count
        if wavelength.ndim == 1
        else list(rows(wavelength, count, "wavelength"))
    )
    return [
        Observed(
            name="spectrum" if count == 1 else f"row-{row}",
            product=columns.product,
            wavelength=at[row],
            flux=values[row],
            variance=variance[row],
            mask=bad[row],
            unit=unit,
            frame=as_frame(columns.told.get("frame")),
            telluric=as_telluric(columns.told.get("telluric")),
            resolution=as_resolution(columns.told.get("resolution")),
            notes=notes,
        )
        for row in range(count)
    ]


def _wavelength(columns: Columns, stated: Stated) -> np.ndarray:
    logarithm = _optional(columns, _LOGARITHMS)
    found = logarithm or _find(columns, _WAVELENGTHS, "a wavelength")
    values, words = found.values, (found.said, columns.told.get("wavelength_unit"))
    if logarithm:
        with np.errstate(over="ignore", invalid="ignore"):
            values, words = 10.0**values, ("Angstrom", None)
    if values.ndim == 2 and len(values) == 1:
        values = values[0]
    media = (columns.told.get("medium"), stated.medium)
    return vacuum_nm(values, (*words, stated.wavelength_unit), media)


def _find(columns: Columns, wanted: tuple[str, ...], what: str) -> _Found:
    found = _optional(columns, wanted)
    if found is None:
        raise InputError(
            f"it has no column for {what}: {', '.join(wanted[:6])}, …; found: "
            f"{', '.join(columns.values)[:200]}"
        )
    return found


def _optional(
    columns: Columns,
    wanted: tuple[str, ...],
    read: Callable[[object, str], np.ndarray] = numbers,
) -> _Found | None:
    """Return the first column of one of these names, alone or with a unit behind it."""
    for stem in wanted:
        for name, values in columns.values.items():
            if (ending := _stem(name, stem)) is not None:
                array = read(values, f"column {name[:40]}")
                if array.ndim > 2:
                    raise InputError(f"its column {name[:40]} has the shape {array.shape}")
                return _Found(array, stem, ending, columns.units.get(name, ""))
    return None


def _stem(name: str, stem: str) -> str | None:
    """Return the unit that a name has behind a stem, empty where it is the stem; None: another."""
    if name == stem:
        return ""
    if not name.startswith(f"{stem}_"):
        return None
    ending = name.removeprefix(f"{stem}_")
    return _LENGTHS.get(ending) or _DENSITIES.get(ending)
