"""Whether rows made here are those made elsewhere: bit for bit, or to 1e-6 on another machine.

The same input gives the same bits where the arithmetic is the same (`provenance.arithmetic`): on
one type of CPU, by one version of what compiles for it.
"""

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict

from simlib.provenance import arithmetic

TOLERANCE = 1e-6  # relative; of a variance, its root, which has the flux's unit
_EVERY = 64  # pixels


class FirstRow(BaseModel):
    """Some pixels of the first row, by which another maker knows whether it makes the same."""

    model_config = ConfigDict(frozen=True, strict=True)
    arithmetic: str
    flux: tuple[float, ...]
    variance: tuple[float, ...]


def first_row_of(spectra: xr.Dataset) -> FirstRow:
    """Return what is kept of the first row of these spectra."""
    flux, variance = _some(spectra)
    return FirstRow(arithmetic=arithmetic(), flux=tuple(flux), variance=tuple(variance))


def difference_from(first_row: FirstRow, spectra: xr.Dataset) -> float:
    """Return the largest relative difference of the spectra's first row from a known one.

    0 where it is no difference: none at all for the same arithmetic, 1e-6 for another.
    """
    flux, variance = (np.array(values) for values in (first_row.flux, first_row.variance))
    made_flux, made_variance = (np.array(values) for values in _some(spectra))
    off = max(difference(made_flux, flux), difference(np.sqrt(made_variance), np.sqrt(variance)))
    return off if off > tolerance_to(first_row.arithmetic) else 0.0


def tolerance_to(other: str) -> float:
    """Return how far a value made with other arithmetic may be, relative: 0 where it is ours."""
    return 0.0 if other == arithmetic() else TOLERANCE


def difference(made: np.ndarray, kept: np.ndarray) -> float:
    """Return the largest relative difference; infinite where only one is a number, or in shape."""
    if made.shape != kept.shape:
        return np.inf
    wide, other = made.astype(np.float64), kept.astype(np.float64)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(same, 0.0, np.abs(wide - other) / np.abs(other))
    return float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _some(spectra: xr.Dataset) -> list[list[float]]:
    rows = (spectra[name].values[0, ::_EVERY] for name in ("flux", "variance"))
    return [row.astype(np.float32).tolist() for row in rows]
