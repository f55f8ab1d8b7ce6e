"""What an import will do, decided before it starts: files, axes, wavelengths, planes."""

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.location import absolute
from simlib.parameters import AXES
from simlib.stellar.archive.bosz2024 import check_wavelength_file, wavelength_file_path
from simlib.stellar.archive.releases import RELEASES, Release
from simlib.stellar.archive.spectrum_files import (
    BadFileError,
    ModelName,
    ModelSpectrum,
    Window,
)

DEFAULT_WINDOW: Window = (670.0, 920.0)  # nm, vacuum: an arm of 710-885 nm and its i band
CONTINUUM_STEP_NM = 0.5  # a cubic between such points is exact to the text's digits
TRIED_FILES = 5  # good files looked at to find the wavelengths

Node = tuple[float, float, float, float]  # teff, logg, feh, alpha


@dataclass(frozen=True)
class ImportPlan:
    """An import, settled."""

    release: Release
    resolution: int
    carbon: float
    microturbulence: float
    window: Window
    files: dict[Node, Path]
    axes: dict[str, np.ndarray]
    wavelength_model: np.ndarray
    wavelength_continuum: np.ndarray

    @property
    def planes(self) -> list[tuple[int, int]]:
        """The units of work: positions on the (teff, logg) axes."""
        return list(np.ndindex(len(self.axes["teff"]), len(self.axes["logg"])))

    def plane_files(self, plane: tuple[int, int]) -> list[tuple[int, int, Path | None]]:
        """Return (position on feh, position on alpha, file or None) of every node of a plane."""
        teff, logg = self.axes["teff"][plane[0]], self.axes["logg"][plane[1]]
        return [
            (k, m, self.files.get((teff, logg, feh, alpha)))
            for k, feh in enumerate(self.axes["feh"])
            for m, alpha in enumerate(self.axes["alpha"])
        ]

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """The coordinates of the store."""
        return {
            **self.axes,
            "wavelength_model": self.wavelength_model,
            "wavelength_continuum": self.wavelength_continuum,
        }

    @property
    def attrs(self) -> dict[str, Any]:
        """What the store says of itself: all that shapes it but the files."""
        return {
            "name": self.release.name,
            "medium": "vacuum",
            "resolution": float(self.resolution),
            "broadening": "Gaussian, FWHM = wavelength / resolution",
            "source": self.release.source,
            "version": self.release.name,
            "license": self.release.license,
            "carbon": self.carbon,
            "microturbulence_km_s": self.microturbulence,
            "window_nm": list(self.window),
            "reader_version": self.release.reader_version,
        }

    @property
    def signature(self) -> str:
        """What every plane depends on beside its files: the reader, the window, the nodes."""
        coords = {name: checksum(values) for name, values in self.coords.items()}
        return fingerprint(self.attrs, coords)


def plan_import(
    folder: str | Path,
    *,
    resolution: int | None = None,
    carbon: float = 0.0,
    microturbulence: float = 2.0,
    window: Window = DEFAULT_WINDOW,
) -> ImportPlan:
    """Look through a folder of downloaded files and settle the import.

    resolution: needed only where the folder holds several. Raises InputError where the folder
    has no files of a known release, or of several.
    """
    source = Path(absolute(folder))  # workers may have another working folder
    if not source.is_dir():
        raise InputError(f"no folder {source}; give the folder that holds the downloaded files")
    if not 0 < window[0] < window[1] < math.inf:
        raise InputError(f"no window {window[0]:g}-{window[1]:g} nm; give the lower end first")
    release, named = _files_of_one_release(source)
    resolution = _one_resolution(named, resolution)
    wanted = {
        path: name
        for path, name in named.items()
        if (name.resolution, name.carbon, name.microturbulence)
        == (resolution, carbon, microturbulence)
    }
    if not wanted:
        raise InputError(
            f"{source} holds {len(named)} {release.name} files, but none with resolution "
            f"{resolution}, [C/M] = {carbon:g} and microturbulence {microturbulence:g} km/s"
        )
    files = _one_file_a_node(wanted, release)
    if locked := [path for path in files.values() if not os.access(path, os.R_OK)]:
        raise InputError(f"{locked[0]} may not be read; change its mode ({len(locked)} such files)")
    axes = {name: np.unique([node[i] for node in files]) for i, name in enumerate(AXES)}
    _check_wavelengths(source, release, resolution)
    wavelength = _common_wavelength(files, release, window)
    return ImportPlan(
        release=release,
        resolution=resolution,
        carbon=carbon,
        microturbulence=microturbulence,
        window=window,
        files=files,
        axes=axes,
        wavelength_model=wavelength,
        wavelength_continuum=wavelength[continuum_points(wavelength)],
    )


def continuum_points(wavelength_model: np.ndarray) -> np.ndarray:
    """Return the positions at which the continuum is kept: both ends and even steps between."""
    span = wavelength_model[-1] - wavelength_model[0]
    count = min(len(wavelength_model), max(2, round(span / CONTINUUM_STEP_NM) + 1))
    return np.round(np.linspace(0, len(wavelength_model) - 1, count)).astype(int)


def _files_of_one_release(source: Path) -> tuple[Release, dict[Path, ModelName]]:
    found: dict[str, dict[Path, ModelName]] = defaultdict(dict)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        for release in RELEASES.values():
            if (name := release.parse_path(path.relative_to(source))) is not None:
                found[release.name][path] = name
    if not found:
        raise InputError(f"{source} holds no file of a known release ({', '.join(RELEASES)})")
    if len(found) > 1:
        raise InputError(f"{source} holds files of {' and '.join(found)}; import them one by one")
    ((release_name, named),) = found.items()
    return RELEASES[release_name], named


def _one_resolution(named: dict[Path, ModelName], asked: int | None) -> int:
    there = sorted({name.resolution for name in named.values()})
    if asked is None and len(there) == 1:
        return there[0]
    if asked not in there:
        listed = ", ".join(str(value) for value in there)
        raise InputError(f"files of resolution {listed}; choose one of them with --resolution")
    return asked


def _one_file_a_node(wanted: dict[Path, ModelName], release: Release) -> dict[Node, Path]:
    """Return a file a node; of two kinds of file the release's preferred one."""
    preferred = list(release.suffixes.values())
    ordered = sorted(wanted.items(), key=lambda item: preferred.index(item[1].suffix), reverse=True)
    return {(name.teff, name.logg, name.feh, name.alpha): path for path, name in ordered}


def _check_wavelengths(source: Path, release: Release, resolution: int) -> None:
    if release.name != "bosz2024":
        return
    wanted = Path(wavelength_file_path(resolution)).name
    for path in source.rglob(wanted):
        try:
            check_wavelength_file(path, resolution)
        except BadFileError as error:
            raise InputError(f"{path} {error}; download it again, or remove it") from None


def _common_wavelength(files: dict[Node, Path], release: Release, window: Window) -> np.ndarray:
    """Return the longest of the first good files' wavelengths: a cut file must not set them."""
    good = []
    for spectrum in _readable(files, release, window):
        good.append(spectrum.wavelength_nm)
        if len(good) == TRIED_FILES:
            break
    if not good:
        raise InputError(f"none of the {len(files)} files has a spectrum in {window} nm")
    return max(good, key=len)


def _readable(files: dict[Node, Path], release: Release, window: Window) -> Iterator[ModelSpectrum]:
    for path in files.values():
        try:
            yield release.read_spectrum(path.name, path.read_bytes(), window)
        except BadFileError:
            continue
