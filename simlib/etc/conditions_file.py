"""Read a person's list of observing conditions: one CSV row a condition."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.etc.conditions import NEEDED, OPTIONAL, Bound, refuse_out_of_bounds

COLUMNS = {
    "seeing_arcsec": "seeing",
    "zenith_angle_deg": "zenith_angle",
    "field_angle_deg": "field_angle",
    "moon_zenith_angle_deg": "moon_zenith_angle",
    "moon_target_angle_deg": "moon_target_angle",
    "moon_phase": "moon_phase",
    "exposure_time_s": "exposure_time_s",
    "exposure_count": "exposure_count",
}
OPTIONAL_COLUMNS = {name: name for name in ("ebv", "fiber_offset_arcsec", "r_eff_arcsec")}


def read_conditions(path: str | Path) -> xr.Dataset:
    """Return the conditions of a CSV file along `condition`, float64, every value checked.

    Columns: those of `COLUMNS`, any of `OPTIONAL_COLUMNS`; others are left alone. Lines that
    begin with `#` are comments. Raises InputError naming the line of what cannot be used.
    """
    table = read_columns(path, "conditions", COLUMNS)
    variables = {
        name: ("condition", table.numbers(column, (NEEDED | OPTIONAL)[name]))
        for column, name in (COLUMNS | OPTIONAL_COLUMNS).items()
        if column in table.names
    }
    return xr.Dataset(variables)


@dataclass(frozen=True)
class Columns:
    """The text of a CSV file: names of its columns, its rows, and the line of each."""

    path: str
    names: list[str]
    rows: list[list[str]]
    lines: list[int]

    def place(self, row: int) -> str:
        """Say where a row is."""
        return f"{self.path}, row {row + 1} (line {self.lines[row]})"

    def texts(self, column: str) -> list[str]:
        """Return a column as text; InputError where a row is too short for it."""
        at = self.names.index(column)
        for number, row in enumerate(self.rows):
            if at >= len(row):
                raise InputError(f"{self.place(number)}: {len(row)} values, none for {column}")
        return [row[at].strip() for row in self.rows]

    def numbers(self, column: str, bound: Bound) -> np.ndarray:
        """Return a column as float64, every value within the bound."""
        values = [_number(text, column, self.place(i)) for i, text in enumerate(self.texts(column))]
        refuse_out_of_bounds(column, np.array(values), bound, self.place)
        return np.array(values)


def read_columns(path: str | Path, what: str, needed: Iterable[str]) -> Columns:
    """Return the columns of a CSV file; InputError unless it has rows and all that is needed."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {what} {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{what} {str(path)!r} are not a text file") from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if len(lines) < 2:
        raise InputError(f"{path}: no {what}; a header line and rows were expected")
    header, *rows = csv.reader(line for _, line in lines)
    names = [name.strip() for name in header]
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"{path}: missing column {', '.join(missing)}; found {', '.join(names)}; "
            f"needed {', '.join(needed)}"
        )
    return Columns(str(path), names, rows, [number for number, _ in lines[1:]])


def _number(text: str, column: str, place: str) -> float:
    try:
        return float(text) if text else np.nan
    except ValueError:
        raise InputError(f"{place}: {column} is {text!r}, not a number") from None
