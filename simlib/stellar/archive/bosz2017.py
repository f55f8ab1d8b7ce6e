"""BOSZ of 2017 (Bohlin et al. 2017, AJ 153, 234): names, URLs, wavelengths, contents.

Columns are wavelength (A, vacuum), flux and continuum; the surface flux is π times a column.
Composition codes are rounded half up (0.25 → 03) and cannot be inverted by dividing by ten.
"""

import math
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.stellar.archive.bz2_blocks import lines_between
from simlib.stellar.archive.spectrum_files import (
    BadFileError,
    ModelName,
    ModelSpectrum,
    Window,
    check_wavelengths,
    decimals,
    normalized,
    numbers,
)

BASE_URL = "https://archive.stsci.edu/missions/hlsp/bosz"
SURFACE_FACTOR = math.pi
SUFFIXES = {"ascii": "asc.bz2", "fits": "fits"}
BOX = {
    "teff": [3500.0 + 250.0 * i for i in range(7)],
    "logg": [0.5 * i for i in range(11)],
    "feh": [-2.5 + 0.25 * i for i in range(14)],  # 0.75 is declared by some, listed by none
    "alpha": [-0.25, 0.0, 0.25, 0.5],
}
NATIVE = math.log1p(1 / 300_000)  # ln step of the native wavelengths, (1 + 1/300000)^k nm
NATIVE_POINTS = 1_730_499  # 1000 A … 32 um
_FIRST, _LAST = 1000.0, 320_000.0  # A, of a whole file

_NAME = re.compile(
    r"am(?P<feh>[pm]\d\d)c(?P<carbon>[pm]\d\d)o(?P<alpha>[pm]\d\d)t(?P<teff>\d{4,5})"
    r"g(?P<logg>\d\d)v(?P<vmic>\d\d)modrt0b(?P<resolution>\d+)rs\.(?P<suffix>asc\.bz2|fits)"
)
_FOLDERS = {"feh": "metal", "carbon": "carbon", "alpha": "alpha"}


def composition_code(value: float) -> str:
    """Return the three letters of an abundance: sign and ten times its size, rounded half up."""
    return f"{'p' if value >= 0 else 'm'}{math.floor(10 * abs(value) + 0.5):02d}"


_CODES = {composition_code(0.25 * i): 0.25 * i for i in range(-20, 21)} | {"m00": 0.0}


def file_name(name: ModelName) -> str:
    """Return the archive's file name of a model."""
    codes = (composition_code(x) for x in (name.feh, name.carbon, name.alpha))
    composition = "".join(f"{letter}{code}" for letter, code in zip("mco", codes, strict=True))
    return (
        f"a{composition}t{name.teff:.0f}g{round(10 * name.logg):02d}"
        f"v{round(10 * name.microturbulence):02d}modrt0b{name.resolution}rs.{name.suffix}"
    )


def relative_path(name: ModelName) -> str:
    """Return the path of a model below the base URL."""
    kind = "fits" if name.suffix == "fits" else "ascii"
    return (
        f"{kind}/insbroad_{name.resolution:06d}/metal_{name.feh:+.2f}"
        f"/carbon_{name.carbon:+.2f}/alpha_{name.alpha:+.2f}/{file_name(name)}"
    )


def parse_path(path: str | Path) -> ModelName | None:
    """Return what a path says of its model, None for another file.

    The folders carry exact abundances and win over the rounded codes of the name.
    """
    *folders, last = Path(path).parts
    match = _NAME.fullmatch(last)
    if match is None or any(match[key] not in _CODES for key in _FOLDERS):
        return None
    exact = {
        key: float(folder.removeprefix(f"{start}_"))
        for folder in folders
        for key, start in _FOLDERS.items()
        if re.fullmatch(rf"{start}_[+-]\d\.\d\d", folder)
    }
    abundance = {key: exact.get(key, _CODES[match[key]]) for key in _FOLDERS}
    return ModelName(
        teff=float(match["teff"]),
        logg=int(match["logg"]) / 10,
        microturbulence=int(match["vmic"]) / 10,
        resolution=int(match["resolution"]),
        suffix=match["suffix"],
        **abundance,
    )


def native_wavelength(first: int, step: int, count: int) -> np.ndarray:
    """Return `count` wavelengths (nm) of the native series: indices first, first + step, …"""
    return np.asarray(np.exp(NATIVE * (first + step * np.arange(count))))


def rebuild_wavelength(printed_nm: np.ndarray, tolerance_nm: float) -> np.ndarray | None:
    """Return the native wavelengths that the printed ones round, or None where they do not.

    A file of resolution R holds every d-th native point; d is read from the wavelengths
    themselves, never from R.
    """
    if len(printed_nm) < 2:
        return None
    span = math.log(printed_nm[-1] / printed_nm[0]) / NATIVE
    step = round(span / (len(printed_nm) - 1))
    first = round(math.log(printed_nm[0]) / NATIVE)
    if step < 1:
        return None
    middle = min((first - 1, first, first + 1), key=lambda k: _misfit(printed_nm, k, step))
    return (
        native_wavelength(middle, step, len(printed_nm))
        if _misfit(printed_nm, middle, step) <= tolerance_nm
        else None
    )


def _misfit(printed_nm: np.ndarray, first: int, step: int) -> float:
    return float(np.abs(native_wavelength(first, step, len(printed_nm)) - printed_nm).max())


def read_spectrum(name: str, data: bytes, window: Window) -> ModelSpectrum:
    """Return the model of a file inside the window; BadFileError says why it has none."""
    reader = _read_fits if name.endswith(".fits") else _read_text
    columns, half_digit = reader(data, window)
    wavelength = columns[0] / 10
    check_wavelengths(wavelength)
    rebuilt = rebuild_wavelength(wavelength, 1.02 * half_digit / 10)
    if rebuilt is None:
        warnings.warn(
            f"{name}: wavelengths do not follow the documented series; the file's are used",
            stacklevel=2,
        )
    wavelength = wavelength if rebuilt is None else rebuilt
    inside = (wavelength >= window[0]) & (wavelength <= window[1])
    if not inside.any():
        raise BadFileError(f"has nothing between {window[0]:g} and {window[1]:g} nm")
    flux, continuum = columns[1][inside], columns[2][inside]
    return ModelSpectrum(
        wavelength_nm=wavelength[inside],
        flux_normalized=normalized(flux, continuum),
        continuum=SURFACE_FACTOR * continuum,
        is_rebuilt=rebuilt is not None,
    )


def file_share(wavelength: float) -> float:
    """Return where a wavelength (A) is in a whole file, as a share of its lines."""
    return math.log(max(wavelength, _FIRST) / _FIRST) / math.log(_LAST / _FIRST)


def _read_text(data: bytes, window: Window) -> tuple[np.ndarray, float]:
    """Return the three columns around the window, and half the last printed digit (A)."""
    low, high = 10 * window[0] - 1, 10 * window[1] + 1
    text = lines_between(data, low, high, guess=file_share(low))
    rows = numbers(text, 3)
    if not len(rows):
        raise BadFileError(f"ends before {window[0]:g} nm")
    return rows.T, 0.5 * 10.0 ** -decimals(text)


def _read_fits(data: bytes, window: Window) -> tuple[np.ndarray, float]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # astropy only warns of a cut file
            with fits.open(BytesIO(data)) as units:
                table = units[1].data
                named = {name.lower(): name for name in table.names}
                wavelength = _native(table[named["wavelength"]])
                half_digit = _half_digit(table[named["wavelength"]])
                near = (wavelength >= 10 * window[0] - 1) & (wavelength <= 10 * window[1] + 1)
                flux = _native(table[named["specificintensity"]])
                continuum = _native(table[named["continuum"]])
                columns = np.stack([wavelength[near], flux[near], continuum[near]])
    except KeyError as error:
        raise BadFileError(f"has no column {error}") from None
    except Exception as error:  # of a damaged header astropy raises what comes
        raise BadFileError(f"cannot be read as FITS ({error})") from None
    count = len(wavelength)
    if count and abs(wavelength[0] - 1000.0021) < 0.001 and not is_row_count(count):
        raise BadFileError(f"has {count} rows, which no resolution has")
    return columns, half_digit


def is_row_count(count: int) -> bool:
    """Say whether a whole file may have so many rows: every d-th native point for some d."""
    step = round(NATIVE_POINTS / count)
    return math.ceil(NATIVE_POINTS / step) == count


def _native(column: Any) -> np.ndarray:
    return np.ravel(column).astype(np.float64)


def _half_digit(column: Any) -> float:
    """Return half the last digit (A) of a column: float32 near 9000 A, or three decimals."""
    return float(np.spacing(np.float32(9000.0))) / 2 if column.dtype.itemsize == 4 else 5e-4
