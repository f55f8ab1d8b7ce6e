"""Read a person's list of observing conditions: one CSV row a condition."""

from pathlib import Path

import xarray as xr

from simlib.etc.conditions import NEEDED, OPTIONAL
from simlib.tables import Columns, read_columns

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
    return conditions_in(read_columns(path, "conditions", COLUMNS))


def conditions_in(table: Columns) -> xr.Dataset:
    """Return the conditions that stand in the columns of a table, as `read_conditions` does."""
    variables = {
        name: ("condition", table.numbers(column, (NEEDED | OPTIONAL)[name]))
        for column, name in (COLUMNS | OPTIONAL_COLUMNS).items()
        if column in table.names
    }
    return xr.Dataset(variables)
