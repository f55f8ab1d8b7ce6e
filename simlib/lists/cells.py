"""A list as it was read, whatever its format: columns of text or numbers, and where rows stand.

CSV has its own reader, which knows the line of each row; FITS, VOTable and ECSV are astropy's. The
format is told by what the file holds, not by its name.
"""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.table import Table

from simlib.errors import InputError
from simlib.fits_claims import refuse_endless
from simlib.tables import columns_in
from simlib.text_files import decoded, read_file

_HEAD = 1024  # bytes, in which a VOTable has said that it is one


@dataclass(frozen=True, eq=False)
class Cells:
    """Columns of one length: text where the format has text, else numbers."""

    path: str
    names: list[str]
    columns: list[np.ndarray]  # (row,); None where a cell is empty
    units: list[str]
    places: list[str]  # of rows, as `row 3 (line 5)`

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.places)


def read_cells(path: str | Path, what: str) -> Cells:
    """Return a list from a CSV, ECSV, FITS or VOTable file.

    what: what the file is to the program, for the message. Raises InputError for a file that
    cannot be read, is damaged or has no rows.
    """
    data = read_file(path, what)
    if (form := _format_of(data)) is not None:
        return _of_astropy(str(path), data, form)
    found = columns_in(decoded(data, str(path)), str(path))
    columns = [
        np.array([text.strip() or None for text in found.rows.iloc[:, number]], dtype=object)
        for number in range(len(found.names))
    ]
    places = [f"row {row + 1} (line {line})" for row, line in enumerate(found.lines)]
    return Cells(str(path), found.names, columns, [""] * len(columns), places)


def _format_of(data: bytes) -> str | None:
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    if data.startswith(b"SIMPLE  ="):
        return "fits"
    if head.startswith(b"<") and b"VOTABLE" in head.upper():
        return "votable"
    return "ascii.ecsv" if head.startswith(b"# %ECSV") else None


def _of_astropy(path: str, data: bytes, form: str) -> Cells:
    options = {"use_names_over_ids": True} if form == "votable" else {}
    try:
        if form == "fits":
            refuse_endless(data, f"{path}: ")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units that it does not know: we judge them
            source = decoded(data, path) if form == "ascii.ecsv" else BytesIO(data)
            table = Table.read(source, format=form, **options)
            for name in table.colnames:
                if not isinstance(table[name], np.ndarray):  # a time, a place: as it is written
                    table[name] = [str(value) for value in table[name]]
            table.convert_bytestring_to_unicode()
            flat = [name for name in table.colnames if table[name].ndim == 1]
            columns = [_values(table[name]) for name in flat]
    except InputError:
        raise
    except Exception as error:  # the readers raise whatever a damaged file leads them to
        reason = " ".join(str(error).split())[:200]
        kind = {"fits": "FITS", "votable": "VOTable", "ascii.ecsv": "ECSV"}[form]
        raise InputError(f"{path} is no {kind} table that can be read: {reason}") from None
    if not len(table) or not flat:
        raise InputError(f"{path}: no rows; a table with rows was expected")
    units = [str(table[name].unit or "") for name in flat]
    return Cells(path, flat, columns, units, [f"row {row + 1}" for row in range(len(table))])


def _values(column: "np.ndarray") -> np.ndarray:
    values = np.array(np.ma.getdata(column), dtype=object)
    values[np.broadcast_to(np.ma.getmaskarray(column), values.shape)] = None
    texts = [value.strip() or None if isinstance(value, str) else value for value in values]
    filled = np.empty(len(texts), dtype=object)
    filled[:] = texts
    return filled
