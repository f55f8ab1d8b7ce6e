"""Import the files of one plane: all abundances of one (Teff, log g).

A plane's record, written after its data, is what marks it done. It holds the checksum of every
file that was read, so that a file that was replaced, a damaged one by a good one, is read again.
"""

from pathlib import Path

import numpy as np

from simlib.artifact import Record, write_record
from simlib.errors import InputError
from simlib.location import Location
from simlib.stellar.archive.import_plan import continuum_points
from simlib.stellar.archive.releases import find_release
from simlib.stellar.archive.spectrum_files import (
    BadFileError,
    ModelSpectrum,
    Window,
    file_digest,
)
from simlib.stellar.store import array_at, write_plane
from simlib.stellar.stored_grid import read_plane_digests

WAVELENGTH_TOLERANCE_NM = 1e-5  # two files have the same wavelengths
Files = list[tuple[int, int, Path | None]]  # position on feh, on alpha, file


class PlaneRecord(Record):
    """A plane that is done. digests, files: (feh, alpha), 0 for a missing node or file."""

    signature: str
    digests: list[list[int]]  # of what was written
    files: list[list[int]]  # of what was read
    reasons: dict[str, str]  # "feh,alpha" → why there is a hole


def records_folder(place: Location) -> Location:
    """Return where the records of the finished planes are until the store is: beside it."""
    return place.beside(f"{place.name}.parts")


def record_place(place: Location, plane: tuple[int, int]) -> Location:
    """Return where the record of a plane is."""
    return records_folder(place) / f"plane-{plane[0]:03d}-{plane[1]:03d}.json"


def import_plane(
    release: str,
    files: Files,
    window: Window,
    place: Location,
    plane: tuple[int, int],
    *,
    signature: str,
    record: PlaneRecord | None,
) -> tuple[PlaneRecord, int | None]:
    """Return the record of a plane and how many files were read for it; None: it was done.

    record: of an earlier run; files and store are compared with it.
    """
    if record is not None and record.signature == signature:
        now = file_digests(files, _shape_of(files))
        if record.files == now.tolist() and _holds(place, plane, record.digests):
            return record, None
    record, read = _import_files(release, files, window, place, plane, signature)
    write_record(record_place(place, plane), record)
    return record, read


def _import_files(
    release: str,
    files: Files,
    window: Window,
    place: Location,
    plane: tuple[int, int],
    signature: str,
) -> tuple[PlaneRecord, int]:
    wavelength = np.asarray(array_at(place, "wavelength_model")[...])
    points = continuum_points(wavelength)
    shape = _shape_of(files)
    flux = np.full((*shape, len(wavelength)), np.nan, dtype=np.float32)
    continuum = np.full((*shape, len(points)), np.nan, dtype=np.float32)
    read, reasons = np.zeros(shape, dtype=np.uint64), {}
    for k, m, path in files:
        try:
            if path is None:
                raise BadFileError("there is no file")
            data = path.read_bytes()
            read[k, m] = file_digest(data)
            spectrum = _read(release, path.name, data, window, wavelength)
        except BadFileError as error:
            reasons[f"{k},{m}"] = str(error)
            continue
        flux[k, m], continuum[k, m] = spectrum.flux_normalized, spectrum.continuum[points]
    digests = write_plane(place, plane, flux, continuum)
    record = PlaneRecord(
        signature=signature, digests=digests.tolist(), files=read.tolist(), reasons=reasons
    )
    return record, int((read != 0).sum())


def _shape_of(files: Files) -> tuple[int, int]:
    return files[-1][0] + 1, files[-1][1] + 1  # they are in order


def _holds(place: Location, plane: tuple[int, int], digests: list[list[int]]) -> bool:
    """Say whether the store gives back what has these digests."""
    try:
        return bool(read_plane_digests(place, plane).tolist() == digests)
    except InputError:
        return False


def file_digests(files: Files, shape: tuple[int, ...]) -> np.ndarray:
    """Return the digest of each file of a plane as it is now, uint64, 0 where there is none."""
    digests = np.zeros(shape, dtype=np.uint64)
    for k, m, path in files:
        if path is not None:
            digests[k, m] = file_digest(path.read_bytes())
    return digests


def _read(
    release: str, name: str, data: bytes, window: Window, wavelength: np.ndarray
) -> ModelSpectrum:
    spectrum = find_release(release).read_spectrum(name, data, window)
    found = spectrum.wavelength_nm
    if found.shape != wavelength.shape:
        raise BadFileError(
            f"{name} covers {found[0]:.2f}-{found[-1]:.2f} nm in {len(found)} points, the "
            f"others {wavelength[0]:.2f}-{wavelength[-1]:.2f} nm in {len(wavelength)}"
        )
    if np.abs(found - wavelength).max() > WAVELENGTH_TOLERANCE_NM:
        raise BadFileError(f"{name} has other wavelengths than the other files")
    return spectrum
