"""Denoised spectra as FITS: the file as it came, byte for byte, with what was made of it behind it.

The parts are described where they are read, in `simlib.spectra.own_parts`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.cores import on_cores
from simlib.errors import InputError
from simlib.spectra.observed import Observed
from simlib.spectra.own_parts import DENOISED, FLAG, PARTS, TABLE
from simlib.spectra.read import Contents
from trainlib.onsky.answers import Answer, table_of
from trainlib.onsky.bundle import BundleManifest
from trainlib.onsky.flags import MEANING

_AT_ONCE = 128  # arrays
_Make = Callable[[], Any]  # of a part
_CARDS = {  # of one spectrum: card, column, comment
    "REDSHIFT": ("redshift", "Doppler, in the frame of the file"),
    "Z_BARY": ("redshift_barycentric", "the same as the barycentre sees it"),
    "Z_FRAME": ("frame", "frame of the redshift"),
    "TELLURIC": ("telluric", "lines of the air"),
    "CONVOLVD": ("convolved_nm", "[nm] sigma that finer lines were convolved with"),
    "Z_ERR": ("redshift_error", "half width that holds it with 68 %"),
    "Z_ERR95": ("redshift_error_95", "with 95 %"),
    "ERROR95": ("error_95", "so many ERRORs hold 95 % of pixels"),
    "SNR": ("snr", "median denoised flux / sigma, of a pixel"),
    "VERDICT": ("verdict", ""),
    "COVERED": ("covered", "share of the network's pixels seen"),
    "MISFIT": ("misfit", "scatter of the data in units of sigma"),
    "SUSPECTS": ("suspects", "pixels 5 sigma off"),
    "FEATURES": ("features", ""),
}


def refuse_mirrored(contents: Contents) -> None:
    """Raise InputError for a file that holds such parts already."""
    if {DENOISED, TABLE} & set(contents.parts):
        raise InputError("it holds a part DENOISED: it is denoised already; give the original")


def mirrored(
    contents: Contents, answers: Sequence[Answer], manifest: BundleManifest
) -> list[bytes | memoryview]:
    """Return what is to be written behind the bytes of the file, piece by piece.

    Of a file that is no FITS it is all: the spectra stand in front, as WAVELENGTH (nm, vacuum),
    FLUX, VARIANCE, MASK.
    """
    behind = max(contents.parts.get(name, 0) for name in PARTS)
    own = _own_parts(contents.spectra, answers, manifest, behind)
    if contents.fits is None:
        return _pieces([fits.PrimaryHDU, *_spectra_parts(contents.spectra), *own])
    return _pieces([fits.PrimaryHDU, *own])[1:]  # without the empty part in front


class _Pieces(BytesIO):
    """A file that keeps what is written to it as it is: large arrays are not copied."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[bytes | memoryview] = []

    def write(self, piece: Any) -> int:
        """Keep a piece. Rows of a table are copied: astropy 7 turns them round for a moment."""
        if isinstance(piece, memoryview):
            is_image = piece.ndim > 1
            piece = np.asarray(piece).reshape(-1).view(np.uint8).data if is_image else bytes(piece)
        self.held.append(piece)
        return len(piece)


def _pieces(parts: Sequence[_Make]) -> list[bytes | memoryview]:
    """Return what a file of FITS holds, of what makes its parts; they are made on all cores."""

    def checked(make: _Make) -> Any:
        part = make()
        part.add_checksum(when="of the part")  # by default the time, and no two files were alike
        return part

    file = _Pieces()
    whole = fits.HDUList(list(on_cores(checked, parts)))
    whole.writeto(file, output_verify="exception")
    return file.held


def _groups(spectra: Sequence[Observed]) -> list[tuple[slice, int]]:
    """Return which spectra share a part, and its EXTVER."""
    if len({one.flux.size for one in spectra}) == 1:
        return [(slice(0, len(spectra)), 1)]
    return [(slice(row, row + 1), row + 1) for row in range(len(spectra))]


def _stacked(arrays: Sequence[np.ndarray], kind: str) -> np.ndarray:
    """Return arrays as rows of one, as files of FITS hold them: nothing is turned round again."""
    rows = np.empty((len(arrays), *arrays[0].shape), kind)

    def fill(first: int) -> None:
        some = slice(first, first + _AT_ONCE)
        with np.errstate(over="ignore", under="ignore"):
            for row, array in zip(rows[some], arrays[some], strict=True):
                row[...] = array

    for _ in on_cores(fill, range(0, len(arrays), _AT_ONCE)):
        pass
    return rows[0] if len(arrays) == 1 else rows


def _spectra_parts(spectra: Sequence[Observed]) -> list[_Make]:
    parts: list[_Make] = []
    for some, version in _groups(spectra):
        group = spectra[some]
        for name, unit in (("WAVELENGTH", "nm"), ("FLUX", group[0].unit.name),
                           ("VARIANCE", f"({group[0].unit.name})**2"), ("MASK", "")):  # fmt: skip
            parts.append(partial(_spectra_part, group, name, unit, version))
    return parts


def _spectra_part(group: Sequence[Observed], name: str, unit: str, version: int) -> fits.ImageHDU:
    kind = ">i4" if name == "MASK" else ">f8"
    values = _stacked([getattr(one, name.lower()) for one in group], kind)
    part = fits.ImageHDU(values, name=name, ver=version)
    if unit:
        part.header["BUNIT"] = plain_text(unit)
    if name == "WAVELENGTH":
        part.header["MEDIUM"] = "vacuum"
    return part


def _own_parts(
    spectra: Sequence[Observed], answers: Sequence[Answer], manifest: BundleManifest, behind: int
) -> list[_Make]:
    """Return the parts that are added. behind: the highest EXTVER that their names have already."""
    lineage = _lineage(manifest)
    parts: list[_Make] = [
        partial(_own_part, spectra[some], answers[some], name, behind + version, lineage)
        for some, version in _groups(spectra)
        for name in PARTS
    ]
    return [*parts, partial(_table, answers, lineage)]


def _own_part(
    spectra: Sequence[Observed],
    answers: Sequence[Answer],
    name: str,
    version: int,
    lineage: fits.Header,
) -> fits.ImageHDU:
    arrays = [_values(one, answer, name) for one, answer in zip(spectra, answers, strict=True)]
    part = fits.ImageHDU(_stacked(arrays, ">i4" if name == FLAG else ">f4"), name=name, ver=version)
    if name == FLAG:
        for bit, meaning in MEANING.items():
            part.header[f"FLAG{bit}"] = meaning
    else:
        part.header["BUNIT"] = plain_text(spectra[0].unit.name)
    if name == DENOISED:
        part.header.update(lineage)
        if len(answers) == 1:
            part.header.update(_told(answers[0]))
    return part


def _values(observed: Observed, answer: Answer, name: str) -> np.ndarray:
    """Return an array of an answer; of a spectrum without one, nothing."""
    if answer.denoised is None:
        empty = -1 if name == FLAG else np.nan
        return np.full(observed.flux.shape, empty)
    denoised = answer.denoised
    return {"DENOISED": denoised.flux, "ERROR": denoised.error, "FLAG": denoised.flag}[name]


def _lineage(manifest: BundleManifest) -> fits.Header:
    told = manifest.lineage
    version = manifest.provenance.get("versions", {}).get("specdenoise") or "unknown"
    return fits.Header(
        [
            ("CREATOR", plain_text(f"specdenoise {version}")),
            ("BUNDLE", plain_text(manifest.fingerprint), "fingerprint of the bundle"),
            ("RUN", plain_text(told.get("run", "")), "fingerprint of the training"),
            ("CHECKPT", plain_text(str(told.get("checkpoint", ""))[:16]), "digest of the network"),
            ("DATASET", plain_text(told.get("dataset", "")), "fingerprint of the training spectra"),
        ]
    )


def _told(answer: Answer) -> fits.Header:
    row = answer.row
    header = fits.Header()
    for card, (column, comment) in _CARDS.items():
        value = row[column]
        if isinstance(value, float) and not np.isfinite(value):
            continue  # a card has no NaN
        header[card] = (plain_text(value) if isinstance(value, str) else value, comment)
    return header


def _table(answers: Sequence[Answer], lineage: fits.Header) -> fits.BinTableHDU:
    rows = table_of(answers)
    kept = {
        name: np.array([plain_text(one, 200) for one in values], dtype=bytes)
        if isinstance(values[0], str)
        else np.array(values)
        for name, values in rows.items()
    }
    # A text of no letters has no width, which no table has either.
    kinds = [(name, "S1" if not one.dtype.itemsize else one.dtype, one.shape[1:])
             for name, one in kept.items()]  # fmt: skip
    data = np.empty(len(answers), dtype=kinds)
    for name, values in kept.items():
        data[name] = values
    table = fits.BinTableHDU(header=lineage, name=TABLE)
    table.data = data  # given when it is made, it is compared with astropy's tables: slow to load
    return table


def plain_text(value: object, most: int = 60) -> str:
    """Return a text that a FITS header can hold."""
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return text[:most]
