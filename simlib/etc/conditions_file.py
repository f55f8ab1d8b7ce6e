"""Read a person's list of observing conditions: one CSV row a condition."""

import csv
from pathlib import Path

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.etc.conditions import NEEDED, OPTIONAL, refuse_out_of_bounds

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
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read conditions {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"conditions {str(path)!r} are not a text file") from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if len(lines) < 2:
        raise InputError(f"{path}: no conditions; a header line and rows were expected")
    header, *rows = csv.reader(line for _, line in lines)
    names = [name.strip() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{path}: missing column {', '.join(missing)}; found {', '.join(names)}; "
            f"needed {', '.join(COLUMNS)}"
        )
    numbers = [number for number, _ in lines[1:]]

    def place(row: int) -> str:
        return f"{path}, row {row + 1} (line {numbers[row]})"

    variables = {}
    for column, name in (COLUMNS | OPTIONAL_COLUMNS).items():
        if column in names:
            at = names.index(column)
            values = np.array([_number(row, at, column, place(i)) for i, row in enumerate(rows)])
            refuse_out_of_bounds(column, values, (NEEDED | OPTIONAL)[name], place)
            variables[name] = ("condition", values)
    return xr.Dataset(variables)


def _number(row: list[str], at: int, column: str, place: str) -> float:
    if at >= len(row):
        raise InputError(f"{place}: {len(row)} values, none for {column}")
    text = row[at].strip()
    try:
        return float(text) if text else np.nan
    except ValueError:
        raise InputError(f"{place}: {column} is {text!r}, not a number") from None
