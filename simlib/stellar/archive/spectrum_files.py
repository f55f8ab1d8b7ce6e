"""What the readers of the published grids share: a spectrum, and why a file may not hold one."""

import hashlib
import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd

Window = tuple[float, float]  # nm, vacuum
LARGEST = 1e30  # of what is kept as float32, with room for its unit


class BadFileError(ValueError):
    """A file that holds no usable spectrum; the message says why. The node becomes a hole."""


@dataclass(frozen=True)
class ModelName:
    """What a file name says about the model."""

    teff: float  # K
    logg: float
    feh: float  # [M/H]
    alpha: float  # [alpha/M]
    carbon: float  # [C/M]
    microturbulence: float  # km/s
    resolution: int
    suffix: str  # kind of file


@dataclass(frozen=True)
class ModelSpectrum:
    """One model inside the window."""

    wavelength_nm: np.ndarray  # vacuum, float64
    flux_normalized: np.ndarray  # float32
    continuum: np.ndarray  # erg s-1 cm-2 AA-1 at the surface, float64
    is_rebuilt: bool  # wavelengths by the release's rule, not from the file


def file_digest(data: bytes) -> int:
    """Return 64 bits over a file's content, never 0: that stands for no file."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little") or 1


def normalized(flux: np.ndarray, continuum: np.ndarray) -> np.ndarray:
    """Return flux / continuum as float32; BadFileError where that makes no sense."""
    if not (np.isfinite(flux).all() and np.isfinite(continuum).all()):
        raise BadFileError("holds values that are not finite")
    if (continuum <= 0).any():
        raise BadFileError("has a continuum of zero")
    with np.errstate(over="ignore"):
        result = np.asarray(flux / continuum, dtype=np.float32)
    if not (np.isfinite(result) & (continuum < LARGEST) & (continuum > 1 / LARGEST)).all():
        raise BadFileError("holds values that no spectrum has")
    return result


def check_wavelengths(wavelength: np.ndarray) -> None:
    """Raise BadFileError where wavelengths (any unit) are not finite, positive and increasing."""
    if not (np.isfinite(wavelength).all() and (wavelength > 0).all()):
        raise BadFileError("holds wavelengths that are not finite and positive")
    if (np.diff(wavelength) <= 0).any():
        raise BadFileError("holds wavelengths that do not increase")


def numbers(text: bytes, columns: int) -> np.ndarray:
    """Return whitespace-separated numbers as (rows, columns)."""
    try:
        table = pd.read_csv(BytesIO(text), sep=r"\s+", header=None, dtype=np.float64)
    except pd.errors.EmptyDataError:
        return np.empty((0, columns))
    except ValueError as error:
        raise BadFileError(f"holds text that is no table of numbers ({error})") from None
    if table.shape[1] != columns:
        raise BadFileError(f"has rows of {table.shape[1]} columns instead of {columns}")
    return table.to_numpy()


def decimals(text: bytes) -> int:
    """Return how many digits follow the point of the first numbers of the first lines."""
    firsts = [line.split(None, 1)[0].lower() for line in text[:1000].splitlines() if line.strip()]
    parts = [number.partition(b"e") for number in firsts[:10]]
    try:
        return max(len(head.partition(b".")[2]) - int(power or 0) for head, _, power in parts)
    except ValueError:
        raise BadFileError(f"begins with what is no plain number: {text[:40]!r}") from None


def first_number(line: bytes) -> float:
    """Return the number that a line begins with."""
    try:
        value = float(line.split(None, 1)[0])
    except (IndexError, ValueError):
        raise BadFileError(f"has a line that does not begin with a number: {line[:40]!r}") from None
    if not math.isfinite(value):
        raise BadFileError("holds a wavelength that is not finite")
    return value
