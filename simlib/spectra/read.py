"""Read observed spectra from any file, known by what is in it and never by its name.

Whatever is wrong with a file is one InputError that names it. Nothing in a file is executed:
pickles are not opened, YAML makes plain values alone, sizes are compared with what is there.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from types import MappingProxyType
from typing import NamedTuple

from astropy.io import fits

from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.desi import is_desi, read_desi
from simlib.spectra.fits_file import START, length, opened, said, versions
from simlib.spectra.frames import CARDS
from simlib.spectra.galah import is_galah, read_galah
from simlib.spectra.images import is_image, read_image
from simlib.spectra.lamost import is_lamost, read_lamost
from simlib.spectra.observed import RESOLVING_POWER, Observed, Stated
from simlib.spectra.pfs_bundle import is_bundle, read_bundle
from simlib.spectra.pfs_fibers import is_fibers, read_fibers
from simlib.spectra.pfs_star import is_star, read_star
from simlib.spectra.sdss import is_sdss, read_sdss
from simlib.spectra.tables import (
    is_fits_arrays,
    is_fits_table,
    read_csv,
    read_ecsv,
    read_fits_arrays,
    read_fits_table,
    read_npz,
)

MOST_BYTES = 4 << 30  # of a file, unpacked
ZIP, ECSV = b"PK\x03\x04", b"# %ECSV"
_GZIP = b"\x1f\x8b"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LONGEST = 300  # characters of what a library says

Fits = Callable[[fits.HDUList, Stated], list[Observed]]
# The first that fits: those of a survey before those that take anything.
FITS_FORMATS: tuple[tuple[Callable[[fits.HDUList], bool], Fits], ...] = (
    (is_fibers, read_fibers),
    (is_bundle, read_bundle),
    (is_star, read_star),
    (is_lamost, read_lamost),
    (is_sdss, read_sdss),
    (is_desi, read_desi),
    (is_galah, read_galah),
    (is_fits_arrays, read_fits_arrays),
    (is_fits_table, read_fits_table),
    (is_image, read_image),
)


class Contents(NamedTuple):
    """A file as it was read: its spectra, and where it is FITS its bytes and its parts.

    The bytes are unpacked, without padding behind the last part. parts: the highest EXTVER of those
    of each name.
    """

    spectra: list[Observed]
    fits: bytes | None = None
    parts: Mapping[str, int] = MappingProxyType({})


def read_observed(place: Location, stated: Stated) -> Contents:
    """Return the spectra of a file. Raises InputError, with the file, for what cannot be used.

    Refused access and a failing network stay what they are.
    """
    return parse_observed(read_whole(place), str(place), stated)


def read_whole(place: Location) -> bytes:
    """Return the bytes of a file; InputError where there is none, or it may never end."""
    _refuse_irregular(place)
    if (data := place.read_bytes()) is None:
        raise InputError(f"{place}: there is no such file")
    return data


def _refuse_irregular(place: Location) -> None:
    """Raise InputError for what may not end when it is read: a pipe, a device, a huge file."""
    if not place.is_local:
        return
    try:
        about = os.stat(place.url)
    except OSError:  # told where it is read
        return
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise InputError(f"{place}: it is a pipe or a device; a file was expected")
    if about.st_size > MOST_BYTES:
        raise InputError(f"{place}: it has {about.st_size} bytes; at most {MOST_BYTES} are read")


def parse_observed(data: bytes, name: str, stated: Stated) -> Contents:
    """Return the spectra that the bytes of a file hold. name: of the file, for the message."""
    with parsing(name):
        whole = unpacked(data)
        if whole.startswith(START):
            return _of_fits(whole, stated)
        return Contents([one.completed({}, stated) for one in _of_others(whole, stated)])


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """Tell whatever goes wrong with bytes that are in memory as one InputError with their name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: it is nested too deeply") from None
    except MemoryError:
        raise InputError(f"{name}: it claims more than fits into memory; it is damaged") from None
    except Exception as error:  # what a library raises for damage is of any kind
        told = " ".join(str(error).split())[:_LONGEST]
        raise InputError(f"{name}: it is damaged ({type(error).__name__}: {told})") from error


def _of_others(data: bytes, stated: Stated) -> list[Observed]:
    if not data:
        raise InputError("it is empty")
    if data.startswith(ZIP):
        return read_npz(data, stated)
    if data.startswith(_PICKLES):
        raise InputError("it is a pickle, which may run anything; it is never opened")
    if data.removeprefix(b"\xef\xbb\xbf").startswith(ECSV):
        return read_ecsv(data, stated)
    return read_csv(data, stated)


def _of_fits(data: bytes, stated: Stated) -> Contents:
    with opened(data) as hdus:
        for is_such, read in FITS_FORMATS:
            if is_such(hdus):
                found = read(hdus, stated)
                break
        else:
            parts = ", ".join(hdu.name or "without a name" for hdu in hdus)
            raise InputError(
                f"it is FITS, but of no format that is known; its parts: {parts[:200]}"
            )
        if not found:
            raise InputError("it holds no spectrum")
        cards = said(hdus, (*CARDS, *RESOLVING_POWER))
        if len(found) > 1:  # stars are elsewhere each
            cards.pop("RA", None)
        found = [one.completed(cards, stated) for one in found]
        return Contents(found, data[: length(hdus)], versions(hdus))


def unpacked(data: bytes) -> bytes:
    """Return what a gzip file holds, up to what is read; other bytes as they are."""
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            whole = file.read(MOST_BYTES)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"it is packed, and damaged ({error}); fetch it again") from None
    if len(whole) == MOST_BYTES:
        raise InputError(f"unpacked it has {MOST_BYTES} bytes or more; that is not read")
    return whole
