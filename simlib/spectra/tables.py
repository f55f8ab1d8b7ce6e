"""Tables of spectra, from FITS, ECSV, CSV and NPZ files to named columns. Nothing is unpickled."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from astropy.io import fits

from simlib.errors import InputError, shown
from simlib.spectra.arrays import MOST_VALUES
from simlib.spectra.columns import WORDS, Columns, has_spectrum, read_columns
from simlib.spectra.fits_file import cards, column_names, is_table, names
from simlib.spectra.observed import Observed, Stated

_MOST_COLUMNS = 1000
_ARRAYS = ("WAVELENGTH", "FLUX", "VARIANCE")


def _spectrum_table(hdus: fits.HDUList) -> Any:
    return next((h for h in hdus if is_table(h) and has_spectrum(set(column_names(h)))), None)


def is_fits_table(hdus: fits.HDUList) -> bool:
    """Return whether a FITS file has a table with a wavelength and a flux."""
    return _spectrum_table(hdus) is not None


def read_fits_table(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return the spectra of the first such table."""
    table = _spectrum_table(hdus)
    known = column_names(table)
    units = {low: str(table.columns[name].unit or "") for low, name in known.items()}
    told = {name: str(value) for name, value in _told(cards(table)).items()}
    values = {low: table.data[name] for low, name in known.items()}
    return read_columns(Columns("table", values, units, told), stated)


def is_fits_arrays(hdus: fits.HDUList) -> bool:
    """Return whether a FITS file has images by the names of columns, as `denoise` writes them."""
    return names(hdus) >= set(_ARRAYS) and not any(is_table(hdus[name]) for name in _ARRAYS)


def read_fits_arrays(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return the spectra of such images; where lengths differ, each has its own EXTVER."""
    found: list[Observed] = []
    for number in sorted({hdu.ver for hdu in hdus if hdu.name == "FLUX"}):
        parts = {name.lower(): hdus[name, number]
                 for name in (*_ARRAYS, "MASK") if (name, number) in hdus}  # fmt: skip
        values = {name: part.data for name, part in parts.items() if part.data is not None}
        units = {name: str(cards(part).get("BUNIT", "")).strip() for name, part in parts.items()}
        told = {name: str(value) for part in parts.values()
                for name, value in _told(cards(part)).items()}  # fmt: skip
        found += read_columns(Columns("arrays", values, units, told), stated)
    if len(found) == 1:
        return found
    return [replace(one, name=f"row-{row}") for row, one in enumerate(found)]


def read_ecsv(data: bytes, stated: Stated) -> list[Observed]:
    """Return the spectra of an ECSV file."""
    from astropy.table import Table  # noqa: PLC0415  (slow to load)

    table = Table.read(_decoded(data).splitlines(), format="ascii.ecsv")  # a text may be a path
    names = [str(name) for name in table.colnames]
    values = {name.lower(): table[name].data for name in names}
    units = {name.lower(): str(table[name].unit or "") for name in names}
    told = {name: str(value) for name, value in _told(table.meta).items()}
    return read_columns(Columns("ECSV", values, units, told), stated)


def read_csv(data: bytes, stated: Stated) -> list[Observed]:
    """Return the spectrum of a CSV file: `#` comments, a line of names, one row a pixel.

    A comment `# medium: air` (or another name of `WORDS`) says what no name of a column does.
    """
    from simlib.tables import columns_in  # noqa: PLC0415  (loads pandas)

    table = columns_in(_decoded(data).replace("\r\n", "\n").replace("\r", "\n"), "its table")
    told = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.lstrip("# ").partition(":") for line in table.comments)
        if colon and name.strip().lower() in WORDS
    }
    names = [name.lower() for name in table.names]
    if not has_spectrum(set(names)):
        raise InputError(
            "it is neither FITS, ECSV, NPZ nor a CSV table with columns wavelength and flux; "
            f"found: {shown(', '.join(names[:20]))}"
        )
    if len(set(names)) < len(names) or len(names) > _MOST_COLUMNS:
        raise InputError(f"its {len(names)} columns do not have names of their own")
    values = {name: _of_texts(table.rows.iloc[:, at].tolist())
              for at, name in enumerate(names)}  # fmt: skip
    return read_columns(Columns("CSV", values, {}, told), stated)


def _of_texts(texts: Sequence[str]) -> np.ndarray:
    """Return numbers, of nothing NaN; or what is true; texts where they are neither."""
    try:
        return np.array([float(one) if one.strip() else np.nan for one in texts])
    except ValueError:
        words = [one.strip().lower() for one in texts]
    if set(words) <= {"true", "false"}:
        return np.array([word == "true" for word in words])
    return np.array(texts, dtype=object)


def npz_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file; InputError for what would fill the memory."""
    with zipfile.ZipFile(BytesIO(data)) as held:
        if sum(entry.file_size for entry in held.infolist()) > 8 * MOST_VALUES:
            raise InputError("its arrays would fill more memory than is read")
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files[:_MOST_COLUMNS]}


def read_npz(data: bytes, stated: Stated) -> list[Observed]:
    """Return the spectra of an NPZ file of plain arrays; its arrays of objects are refused."""
    values = {name.lower(): array for name, array in npz_arrays(data).items()}
    told = {
        name: str(value)
        for name, value in _told(values).items()
        if value.dtype.kind in "Uifb" and not value.ndim
    }
    plain = {name: value for name, value in values.items() if name not in WORDS}
    return read_columns(Columns("NPZ", plain, {}, told), stated)


def _told(words: Any) -> dict[str, Any]:
    """Return what a file says beside its columns, by names in small letters."""
    known = {str(name).lower().replace("-", "_"): name for name in words}
    return {name: words[known[name]] for name in WORDS if name in known}


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"it is no spectrum that is known: neither FITS, NPZ nor UTF-8 text (byte "
            f"{error.start} is 0x{data[error.start]:02x})"
        ) from None
