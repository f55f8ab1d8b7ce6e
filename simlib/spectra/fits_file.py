"""FITS files that nobody vouches for: opened from memory, their sizes looked at before their data.

A header may claim any size; what it claims is compared with what is there, so that a small file
cannot ask for much memory, and a cut one is told as such.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.fits_claims import refuse_endless
from simlib.spectra.arrays import MOST_VALUES, integers, numbers

START = b"SIMPLE  ="
BLOCK = 2880
_LETTERS = re.compile(r"\d*[PQ]A", re.IGNORECASE)  # the format of texts of variable length
_LEAST_RATIO = 2000  # values of a packed image for each byte of it, at most: a constant one


@contextmanager
def opened(data: bytes) -> Iterator[fits.HDUList]:
    """Yield the parts of a FITS file, all of them whole. Raises InputError for one that is cut."""
    refuse_endless(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd cards; what matters is checked where it is used
        with fits.open(BytesIO(data), memmap=False, lazy_load_hdus=False) as hdus:
            _refuse_cut(hdus, data)
            for hdu in hdus:
                _refuse_size(hdu)
                _leave_in_place(hdu, data)
            yield hdus


def length(hdus: fits.HDUList) -> int:
    """Return the bytes of a file up to the end of its last part; what may follow is padding."""
    info = [hdu.fileinfo() for hdu in hdus]
    return max((part["datLoc"] + part["datSpan"] for part in info if part), default=0)


def _refuse_cut(hdus: fits.HDUList, data: bytes) -> None:
    """Raise InputError unless every part ends within the file, and nothing follows the last."""
    end = length(hdus)
    if end > len(data) or end % BLOCK or len(data) % BLOCK:
        raise InputError(
            f"it is cut or damaged: {len(data)} bytes, {end} were expected; fetch it again"
        )
    if data[end:].strip(b"\0 "):
        raise InputError(
            f"it has {len(data) - end} bytes behind its last readable part, at byte {end}; it is "
            "damaged: fetch it again"
        )


def _refuse_size(hdu: Any) -> None:
    shape = tuple(getattr(hdu, "shape", ()) or ())
    count = prod(int(n) for n in shape) if shape else 0
    if count > MOST_VALUES:
        raise InputError(f"its part {hdu.name[:40]!r} claims {count} values; that is not read")
    if isinstance(hdu, fits.CompImageHDU):
        packed = int(hdu.fileinfo()["datSpan"]) if hdu.fileinfo() else 0
        if count > _LEAST_RATIO * max(packed, BLOCK):
            raise InputError(
                f"its part {hdu.name[:40]!r} claims {count} values in {packed} bytes; it is damaged"
            )


def _leave_in_place(hdu: Any, data: bytes) -> None:
    """Look at an image's numbers where they are: astropy would copy them, twice."""
    if type(hdu) not in (fits.PrimaryHDU, fits.ImageHDU) or not hdu.shape:
        return
    if not {"BSCALE", "BZERO", "BLANK"} & set(hdu.header):
        kind = np.dtype(fits.BITPIX2DTYPE[hdu.header["BITPIX"]]).newbyteorder(">")
        start, count = hdu.fileinfo()["datLoc"], prod(hdu.shape)
        hdu.data = np.frombuffer(data, kind, count, start).reshape(hdu.shape)


def names(hdus: fits.HDUList) -> set[str]:
    """Return the names of a file's parts, in capitals."""
    return {hdu.name.upper() for hdu in hdus}


def versions(hdus: fits.HDUList) -> dict[str, int]:
    """Return the highest number (EXTVER) of the parts of each name."""
    found: dict[str, int] = {}
    for hdu in hdus:
        number = hdu.ver if isinstance(hdu.ver, int) else 1  # a foreign header may say anything
        found[hdu.name.upper()] = max(found.get(hdu.name.upper(), 1), number)
    return found


def part(hdus: fits.HDUList, name: str) -> Any:
    """Return a part by its name; InputError where there is none, or none with data."""
    if name not in names(hdus):
        raise InputError(f"it has no part {name}; found: {', '.join(sorted(names(hdus)))[:200]}")
    found = hdus[name]
    if found.data is None:
        raise InputError(f"its part {name} is empty")
    return found


def image(hdus: fits.HDUList, name: str) -> np.ndarray:
    """Return the numbers of a part that is an image."""
    found = part(hdus, name)
    if is_table(found):
        raise InputError(f"its part {name} is a table; an image was expected")
    return numbers(found.data, f"part {name}")


def mask_image(hdus: fits.HDUList, name: str) -> np.ndarray:
    """Return the integers of a part that is an image."""
    return integers(part(hdus, name).data, f"part {name}")


def is_table(hdu: Any) -> bool:
    """Return whether a part is a table."""
    return isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not isinstance(
        hdu, fits.CompImageHDU
    )


def column_names(hdu: Any) -> dict[str, str]:
    """Return the columns of a table, by their names in small letters."""
    return {name.lower(): name for name in hdu.columns.names if name}


def column(hdu: Any, name: str) -> Any:
    """Return a column by its name in small letters; InputError where there is none."""
    known = column_names(hdu)
    if name not in known:
        raise InputError(
            f"its table {hdu.name} has no column {name}; found: {', '.join(known)[:200]}"
        )
    return hdu.data[known[name]]


def texts(hdu: Any, name: str) -> list[str]:
    """Return the texts of a column by its name in small letters.

    Those of variable length are taken from behind the table, each that rows share once; astropy
    would make an array of every one. Raises InputError where they are not all there.
    """
    values = column_names(hdu).get(name, "")
    if not values or not _LETTERS.match(str(hdu.columns[values].format)):
        return [text(value) for value in column(hdu, name)]
    info, rows = hdu.fileinfo(), int(hdu.header["NAXIS1"]) * int(hdu.header["NAXIS2"])
    first, end = int(hdu.header.get("THEAP", rows)), rows + int(hdu.header["PCOUNT"])
    info["file"].seek(info["datLoc"])
    data = info["file"].read(end)
    places = [(count, first + at) for count, at in np.asarray(hdu.data)[values].tolist()]
    different = set(places)
    if any(count < 0 or at < rows or at + count > len(data) for count, at in different):
        raise InputError(f"texts of its table {hdu.name} lie beyond its end; it is damaged")
    if (total := sum(count for count, _ in different)) > MOST_VALUES:
        raise InputError(f"its table {hdu.name} claims {total} letters; that is not read")
    known = {(count, at): text(data[at : at + count]) for count, at in different}
    return [known[place] for place in places]


def text(value: Any) -> str:
    """Return a text that a table holds, however it came: whole, as bytes or letter by letter."""
    if isinstance(value, np.ndarray):
        value = b"".join(value.astype("S1").tolist()) if value.size else b""
    if isinstance(value, bytes):
        return value.replace(b"\0", b"").decode("utf-8", "replace")
    return str(value)


def said(hdus: fits.HDUList, wanted: Sequence[str]) -> dict[str, Any]:
    """Return those cards of these names that the first two parts have, the first one's first."""
    found: dict[str, Any] = {}
    for hdu in hdus[1::-1]:
        for name in wanted:
            with suppress(ValueError, KeyError, fits.VerifyError):
                found[name] = hdu.header[name]
    return found


def cards(hdu: Any) -> Mapping[str, Any]:
    """Return the cards of a part's header that can be read."""
    found: dict[str, Any] = {}
    for key in hdu.header:
        try:
            found[key] = hdu.header[key]
        except (ValueError, KeyError, fits.VerifyError):
            continue
    return found
