"""Magnitudes of templates in a band.

AB, photon-weighted: counts are the integral of flux x wavelength x response (Bessell & Murphy 2012,
PASP 124, 140, equation A11). Light of the band beyond the template's ends is the continuum, held at
its end values; a template that misses more than a thousandth of the band is refused.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from simlib.errors import InputError
from simlib.units import ab_flux

LARGEST_MISSING = 1e-3
_FEWEST = 3  # samples of a curve
_NM = {"Angstrom": 0.1, "nm": 1.0, "um": 1e3, "micron": 1e3}  # a unit of wavelengths


@dataclass(frozen=True)
class Band:
    """A filter: response per photon (arbitrary scale) at wavelengths in nm, zero outside."""

    name: str
    wavelength_nm: np.ndarray
    response: np.ndarray

    def at(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return the response at any wavelengths, same shape."""
        outside = {"left": 0.0, "right": 0.0}
        return np.asarray(np.interp(wavelength_nm, self.wavelength_nm, self.response, **outside))


def load_band(name: str) -> Band:
    """Return a filter by its speclite name, such as `hsc2017-i2`, or by its file's path (.ecsv).

    Raises InputError for a name that is not known, or a file that is no filter.
    """
    return _load(name, band_digest(name))


def band_digest(name: str) -> str:
    """Return 16 hex digits over a filter's curve, without the second that loading it would take.

    Raises InputError for a name that is not known.
    """
    try:
        return sha256(band_file(name).read_bytes()).hexdigest()[:16]
    except (OSError, ValueError) as error:
        raise _unknown(name, error) from None


def band_file(name: str) -> Path:
    """Return where the curve of a filter is, if there is such a filter."""
    if name.endswith(".ecsv"):
        return Path(name)
    package = find_spec("speclite")  # found, not imported
    folders = (package and package.submodule_search_locations) or []
    return Path(*folders[:1]) / "data" / "filters" / f"{name}.ecsv"


@lru_cache(maxsize=8)
def _load(name: str, digest: str) -> Band:
    """Return the filter whose file has this digest."""
    try:
        return Band(name, *_curve(band_file(name).read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise _unknown(name, error) from None


def _curve(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return wavelengths (nm) and response of a filter's file, a table in ECSV.

    Read without astropy's tables, which take a second to import: this is read by every process
    that simulates. Raises ValueError for what is no filter.
    """
    head = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    try:
        plain = "\n".join(line for line in head if not line.startswith("%"))
        told = yaml.load(plain, yaml.BaseLoader)  # makes texts, lists and tables of all there is
        units = {str(column["name"]): column.get("unit") for column in told["datatype"]}
        delimiter = dict(told).get("delimiter", " ")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise ValueError("its head is not that of an ECSV table") from None
    if (unit := units.get("wavelength")) not in _NM:
        raise ValueError(f"its wavelength is in {unit!r}, expected one of {', '.join(_NM)}")
    separator = r"\s+" if delimiter == " " else delimiter
    table = pd.read_csv(io.StringIO(text), sep=separator, comment="#")
    if not {"wavelength", "response"} <= set(table.columns):
        raise ValueError(f"its columns are {', '.join(table.columns)}, not wavelength and response")
    wavelength, response = (table[key].to_numpy(float) for key in ("wavelength", "response"))
    if len(wavelength) < _FEWEST or not np.all(np.diff(wavelength) > 0):
        raise ValueError(f"its wavelengths are not {_FEWEST} or more, each above the last")
    if not (np.all(np.isfinite(response)) and np.all(response >= 0) and response.any()):
        raise ValueError("its response is not finite, below zero somewhere, or zero everywhere")
    if response[0] or response[-1]:
        raise ValueError("its response does not end at zero on both sides")
    seen = np.flatnonzero(response)
    kept = slice(seen[0] - 1, seen[-1] + 2)  # of the zeros on a side, one says where it ends
    return wavelength[kept] * _NM[unit], response[kept]


def _unknown(name: str, error: Exception) -> InputError:
    return InputError(
        f"stellar.band = {name!r} is no filter of speclite ({error}); "
        "examples: hsc2017-i2, hsc2017-z, sdss2010-i, lsst2023-i"
    )


def quadrature(wavelength_nm: np.ndarray) -> np.ndarray:
    """Return the trapezoid widths of sorted sample points, same shape, nm."""
    step = np.diff(wavelength_nm)
    widths = np.zeros_like(wavelength_nm)
    widths[:-1] += 0.5 * step
    widths[1:] += 0.5 * step
    return widths


def zero_counts(band: Band) -> float:
    """Return the counts of a source of AB magnitude 0 (flux in 1e-17 erg s-1 cm-2 AA-1)."""
    fine = np.linspace(band.wavelength_nm[0], band.wavelength_nm[-1], 20_001)
    weight = band.at(fine) * fine * quadrature(fine)
    return float(np.sum(weight * ab_flux(0.0, fine)))


def sample_weights(band: Band, wavelength_nm: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return what counts each sample of a template has, and the padding at its two ends.

    wavelength_nm: (n,) sorted. Returns weights (n,) and two scalars such that counts =
    sum(weights * flux) + below * continuum[0] + above * continuum[-1].
    """
    weights = band.at(wavelength_nm) * wavelength_nm * quadrature(wavelength_nm)
    low, high = wavelength_nm[0], wavelength_nm[-1]
    below = _integral(band, band.wavelength_nm[0], low)
    above = _integral(band, high, band.wavelength_nm[-1])
    return weights, below, above


def require_coverage(band: Band, low_nm: float, high_nm: float) -> None:
    """Raise InputError when more than 1e-3 of the band's response lies outside [low, high]."""
    first, last = band.wavelength_nm[0], band.wavelength_nm[-1]
    whole = _integral(band, first, last)
    missing = (_integral(band, first, low_nm) + _integral(band, high_nm, last)) / whole
    if missing > LARGEST_MISSING:
        raise InputError(
            f"stellar.band = {band.name!r} ({first:.0f}-{last:.0f} nm) reaches beyond the shifted "
            f"templates ({low_nm:.1f}-{high_nm:.1f} nm): {100 * missing:.2g} % of its response is "
            f"missing, {100 * LARGEST_MISSING:g} % is allowed; choose a band inside the templates "
            "or a stellar.grid with a wider range"
        )


def _integral(band: Band, low: float, high: float) -> float:
    """Integrate response x wavelength over the part of the band in [low, high]."""
    low, high = max(low, band.wavelength_nm[0]), min(high, band.wavelength_nm[-1])
    if high <= low:
        return 0.0
    fine = np.linspace(low, high, 4001)
    return float(np.sum(band.at(fine) * fine * quadrature(fine)))
