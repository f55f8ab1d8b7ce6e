"""Files in the exact formats of the two BOSZ releases, made from a grid we have."""

import bz2
import gzip
import math
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.io import fits
from scipy.interpolate import CubicSpline

from simlib.air_wavelengths import air_to_vacuum
from simlib.parameters import AXES
from simlib.stellar import continuum_on
from simlib.stellar.archive import bosz2017, bosz2024
from simlib.stellar.archive.spectrum_files import ModelName

FIRST_NATIVE = math.ceil(math.log(100.0) / bosz2017.NATIVE)  # k of 1000.002 A


def whole_native_wavelength(step: int) -> np.ndarray:
    """Return all wavelengths (nm) of a 2017 file that holds every step-th native point."""
    count = math.ceil(bosz2017.NATIVE_POINTS / step)
    return bosz2017.native_wavelength(FIRST_NATIVE, step, count)


def model_name(node: dict[str, float], resolution: int, suffix: str) -> ModelName:
    return ModelName(**node, carbon=0.0, microturbulence=2.0, resolution=resolution, suffix=suffix)


def model_on(
    grid: xr.Dataset, node: dict[str, float], wavelength_nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (normalised flux, surface continuum) of a node; 1 and constant outside the grid."""
    inside = (wavelength_nm >= 671.8) & (wavelength_nm <= 909.6)
    spectrum = grid["flux_normalized"].sel(node).values.astype(np.float64)
    flux, continuum = np.ones_like(wavelength_nm), np.full_like(wavelength_nm, 1e6)
    known = grid["wavelength_model"].values
    flux[inside] = CubicSpline(known, spectrum)(wavelength_nm[inside])
    position = [int(np.flatnonzero(grid[name].values == node[name])[0]) for name in AXES]
    continuum[inside] = continuum_on(grid, wavelength_nm[inside], np.array([position]))[0]
    return flux, continuum


def text_2017(grid: xr.Dataset, node: dict[str, float], wavelength_nm: np.ndarray) -> bytes:
    flux, continuum = model_on(grid, node, wavelength_nm)
    column = continuum / math.pi
    rows = zip(10 * wavelength_nm, flux * column, column, strict=True)
    return "".join(f"{w:12.3f} {f:14.7E} {c:14.7E}\n" for w, f, c in rows).encode()


def write_2017_text(
    folder: Path, grid: xr.Dataset, node: dict[str, float], wavelength_nm: np.ndarray
) -> Path:
    path = _place(folder, bosz2017.relative_path(model_name(node, 20000, "asc.bz2")))
    path.write_bytes(bz2.compress(text_2017(grid, node, wavelength_nm)))
    return path


def write_2017_fits(
    folder: Path, grid: xr.Dataset, node: dict[str, float], wavelength_nm: np.ndarray
) -> Path:
    path = _place(folder, bosz2017.relative_path(model_name(node, 20000, "fits")))
    flux, continuum = model_on(grid, node, wavelength_nm)
    column = continuum / math.pi
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("Wavelength", "D", array=10 * wavelength_nm),
            fits.Column("SpecificIntensity", "E", array=flux * column),
            fits.Column("Continuum", "E", array=column),
        ]
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def text_2024(grid: xr.Dataset, node: dict[str, float], resolution: int) -> bytes:
    vacuum = air_to_vacuum(bosz2024.file_wavelength(resolution) / 10)
    flux, continuum = model_on(grid, node, vacuum)
    column = continuum / (4 * math.pi)
    rows = zip(flux * column, column, strict=True)
    return "".join(f"{f:14.7E} {c:14.7E}\n" for f, c in rows).encode()


def write_2024(
    folder: Path, grid: xr.Dataset, node: dict[str, float], resolution: int = 20000
) -> Path:
    path = _place(folder, bosz2024.relative_path(model_name(node, resolution, "txt.gz")))
    path.write_bytes(gzip.compress(text_2024(grid, node, resolution), compresslevel=1))
    return path


def _place(folder: Path, relative: str) -> Path:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
