"""BOSZ of 2024 (Meszaros et al. 2024, A&A 688, A197): names, URLs, wavelengths, contents.

Two columns, Eddington flux H and its continuum; row i belongs to wavelength i of a formula. Those
wavelengths are in air; what leaves this module is in vacuum. The surface flux is 4π H.
"""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from simlib.air_wavelengths import air_to_vacuum
from simlib.stellar.archive.spectrum_files import (
    BadFileError,
    ModelName,
    ModelSpectrum,
    Window,
    normalized,
    numbers,
)

BASE_URL = "https://archive.stsci.edu/hlsps/bosz/bosz2024"
SURFACE_FACTOR = 4 * math.pi
SUFFIXES = {"text": "txt.gz"}
BOX = {
    "teff": [3500.0, 3600.0, 3700.0, 3800.0, 3900.0, 4000.0, 4250.0, 4500.0, 4750.0, 5000.0],
    "logg": [0.5 * i for i in range(11)],
    "feh": [-2.5 + 0.25 * i for i in range(14)],
    "alpha": [-0.25, 0.0, 0.25, 0.5],
}
FAMILIES = ("ms", "mp", "ap")  # MARCS spherical, MARCS plane-parallel, ATLAS9
ROWS_PER_RESOLUTION = 15
PLANE_PARALLEL_FROM = 3.5  # log g
HOTTEST_MARCS = 8000.0  # K

_NAME = re.compile(
    r"bosz2024_(?P<family>ms|mp|ap)_t(?P<teff>\d+)_g(?P<logg>[+-]\d\.\d)_m(?P<feh>[+-]\d\.\d\d)"
    r"_a(?P<alpha>[+-]\d\.\d\d)_c(?P<carbon>[+-]\d\.\d\d)_v(?P<vmic>\d)_r(?P<resolution>\d+)"
    r"_resam\.(?P<suffix>txt\.gz)"
)


def family_of(name: ModelName) -> str:
    """Return the code of the model atmospheres; between 7500 and 8000 K both exist, MARCS here."""
    if name.teff > HOTTEST_MARCS:
        return "ap"
    return "mp" if name.logg >= PLANE_PARALLEL_FROM else "ms"


def file_name(name: ModelName) -> str:
    """Return the archive's file name of a model."""
    return (
        f"bosz2024_{family_of(name)}_t{name.teff:.0f}_g{name.logg:+.1f}_m{name.feh:+.2f}"
        f"_a{name.alpha:+.2f}_c{name.carbon:+.2f}_v{name.microturbulence:.0f}"
        f"_r{name.resolution}_resam.{name.suffix}"
    )


def relative_path(name: ModelName) -> str:
    """Return the path of a model below the base URL; a client must send its + as %2B."""
    return f"r{name.resolution}/m{name.feh:+.2f}/{file_name(name)}"


def wavelength_file_path(resolution: int) -> str:
    """Return the path of the optional file of wavelengths below the base URL."""
    return f"wavelength_grids/bosz2024_wave_r{resolution}.txt"


def parse_path(path: str | Path) -> ModelName | None:
    """Return what a path says of its model, None for another file."""
    match = _NAME.fullmatch(Path(path).name)
    if match is None:
        return None
    return ModelName(
        teff=float(match["teff"]),
        logg=float(match["logg"]),
        feh=float(match["feh"]),
        alpha=float(match["alpha"]),
        carbon=float(match["carbon"]),
        microturbulence=float(match["vmic"]),
        resolution=int(match["resolution"]),
        suffix=match["suffix"],
    )


def file_wavelength(resolution: int) -> np.ndarray:
    """Return the wavelengths of the rows of a file (A; in air above 2000 A)."""
    rows = ROWS_PER_RESOLUTION * resolution
    return np.asarray(500.0 * np.exp(np.arange(rows) * (math.log(640.0) / rows)))


def check_wavelength_file(path: Path, resolution: int) -> None:
    """Compare a downloaded file of wavelengths with the formula; BadFileError where they differ."""
    printed = numbers(path.read_bytes(), 1)[:, 0]
    expected = file_wavelength(resolution)
    if printed.shape != expected.shape:
        raise BadFileError(f"has {len(printed)} wavelengths, the formula {len(expected)}")
    worst = float(np.abs(printed / expected - 1).max())
    if not worst <= 1e-6:  # printing rounds to 5e-8; a NaN is no wavelength
        raise BadFileError(f"differs from the formula by {worst:.1e} of the wavelength")


def read_spectrum(name: str, data: bytes, window: Window) -> ModelSpectrum:
    """Return the model of a file inside the window; BadFileError says why it has none."""
    model = parse_path(name)
    if model is None:
        raise BadFileError("has no name of this release")
    text = _unpack(data)
    breaks = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")) + 1
    starts = np.concatenate([[0], breaks, [len(text)] if not text.endswith(b"\n") else []])
    rows, expected = len(starts) - 1, ROWS_PER_RESOLUTION * model.resolution
    if rows != expected:
        raise BadFileError(f"has {rows} rows, resolution {model.resolution} has {expected}")
    vacuum = air_to_vacuum(file_wavelength(model.resolution) / 10)
    first, last = np.searchsorted(vacuum, [window[0], np.nextafter(window[1], np.inf)])
    if first == last:
        raise BadFileError(f"has nothing between {window[0]:g} and {window[1]:g} nm")
    columns = numbers(text[int(starts[first]) : int(starts[last])], 2)
    if len(columns) != last - first:
        raise BadFileError("has rows that do not have 2 columns")
    return ModelSpectrum(
        wavelength_nm=vacuum[first:last],
        flux_normalized=normalized(columns[:, 0], columns[:, 1]),
        continuum=SURFACE_FACTOR * columns[:, 1],
        is_rebuilt=True,
    )


def _unpack(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BadFileError(f"cannot be unpacked ({error})") from None
