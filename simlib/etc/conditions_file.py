"""Read a person's list of observing conditions: one row a condition."""

from pathlib import Path

import xarray as xr

from simlib.etc.conditions import NEEDED, OPTIONAL
from simlib.lists.cells import read_cells
from simlib.lists.names import Known, understand
from simlib.lists.values import Problem, numbers_in, refuse

_COLUMNS = {  # unit, as documented, and other names
    "seeing": ("arcsec", "seeing_arcsec", "seeing_fwhm", "seeing_fwhm_800nm_arcsec"),
    "zenith_angle": ("deg", "zenith_angle_deg", "zenith_distance"),
    "field_angle": ("deg", "field_angle_deg"),
    "moon_zenith_angle": ("deg", "moon_zenith_angle_deg", "moon_zenith_distance"),
    "moon_target_angle": ("deg", "moon_target_angle_deg", "moon_separation", "moon_sep"),
    "moon_phase": ("", "moon_phase"),
    "exposure_time_s": (
        "s",
        "exposure_time_s",
        "exposure_time",
        "exptime",
        "exptime_s",
        "texp",
        "t_exp_s",
    ),
    "exposure_count": ("", "exposure_count", "nexp", "exposures"),
    "ebv": ("", "ebv", "E(B-V)", "ebv_mag", "reddening"),
    "fiber_offset_arcsec": ("arcsec", "fiber_offset_arcsec", "fiber_offset"),
    "r_eff_arcsec": ("arcsec", "r_eff_arcsec", "r_eff"),
}
CONDITIONS = tuple(
    Known(name, (NEEDED | OPTIONAL)[name], tuple(spellings), unit, written)
    for name, (unit, written, *spellings) in _COLUMNS.items()
)
OF_A_LIST = (*NEEDED, "exposure_time_s", "exposure_count")  # what a list of conditions has to hold


def read_conditions(path: str | Path) -> xr.Dataset:
    """Return the conditions of a list along `condition`, float64, every value checked.

    Columns: those of `OF_A_LIST`, any other of `CONDITIONS`; what else is there is left alone.
    Lines that begin with `#` are comments. Raises InputError naming every row that cannot be used.
    """
    cells = read_cells(path, "conditions")
    found = understand(cells, CONDITIONS, OF_A_LIST)
    variables, problems = {}, list[Problem]()
    for quantity in CONDITIONS:
        if quantity.name in found.factors and quantity.bound is not None:
            column = found.columns[quantity.name]
            factor = found.factors[quantity.name]
            values, wrong = numbers_in(cells, column, quantity.bound, factor)
            variables[quantity.name] = ("condition", values)
            problems += wrong
    refuse(cells.path, found.problems, problems)
    return xr.Dataset(variables)
