"""A person's own list of stars: what its columns are, what is left out, and what is wrong in it.

The columns needed are those of the star; conditions that the list does not hold come from options
or from the config, a range of which is drawn from, row by row. All other columns are kept.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from simlib.artifact import create_bytes
from simlib.bounds import Bound, refuse_out_of_bounds
from simlib.config import LARGEST_EBV, LARGEST_REDSHIFT, SimulationConfig
from simlib.errors import InputError, shown
from simlib.etc.conditions import NEEDED, OPTIONAL
from simlib.etc.conditions_file import CONDITIONS
from simlib.etc.conditions_list import impossible_moons
from simlib.lists.cells import Cells, read_cells
from simlib.lists.names import Known, Understood, said_columns, understand
from simlib.lists.values import Problem, kept, numbers_in, refuse
from simlib.location import Location
from simlib.parameters import AXES, UNITS, as_table, draw_conditions
from simlib.rng import Purpose, Split, uniforms
from simlib.simulation.compiled.nodes import table_rows
from simlib.units import SPEED_OF_LIGHT_M_S

_KM_S = SPEED_OF_LIGHT_M_S / 1e3
# What a number may be; whether the grid has the star is checked where it is looked up.
STAR = (
    Known("teff", Bound(0.0, 1e6, "K"), ("T_eff", "teff_k", "effective_temperature"), "K"),
    Known("logg", Bound(-10.0, 20.0), ("log_g",)),
    Known("feh", Bound(-20.0, 10.0), ("[Fe/H]", "M_H", "[M/H]", "metallicity")),
    Known("alpha", Bound(-10.0, 10.0), ("[alpha/Fe]", "[alpha/M]", "a_M", "a_Fe", "alpha_fe")),
    Known("redshift", Bound(-LARGEST_REDSHIFT, LARGEST_REDSHIFT)),
    Known(
        "rv",
        Bound(-LARGEST_REDSHIFT * _KM_S, LARGEST_REDSHIFT * _KM_S, "km/s"),
        ("radial_velocity", "vrad", "v_r", "v_los", "velocity", "rv_km_s"),
        "km/s",
    ),
    Known("magnitude", Bound(0.0, 40.0, "mag"), ("mag", "imag", "i_mag", "mag_i", "i2_mag", "i2")),
)
IDENTITY = (  # in order of preference: a list may have several names for its stars
    Known("object_id", None, ("obj_id", "source_id", "target_id", "star_id", "id", "name")),
    Known("catalogue_id", None, ("cat_id", "catalog_id")),
    Known("ra", Bound(0.0, 360.0, "deg"), ("ra_deg", "ra_icrs", "raj2000"), "deg"),
    Known("dec", Bound(-90.0, 90.0, "deg"), ("dec_deg", "de_icrs", "dej2000"), "deg"),
    Known("visit", None),
)
AXIS = Known("interpolated_axis", None)
KNOWN = (*STAR, *CONDITIONS, *IDENTITY, AXIS)
OF_A_STAR = ("teff", "logg", "feh", "magnitude")  # what a list has to hold
ANY_AXIS = "all"  # of the stellar parameters: none needs to be on a node
_ZERO = ("alpha", "redshift", "ebv")  # where the list does not say
_OPTIONS = (*NEEDED, "exposure_time_s", "exposure_count")
_ROWS_AT_ONCE = 1024  # looked up in the grid, each with the weights of its nodes
_TAKEN = {"flux", "variance", "flux_noisy", "mask", "flux_scale", "snr", "spectrum", "wavelength"}
TEMPLATE = """\
# One row a star. Needed: teff (K), logg, feh, magnitude (AB, HSC i2). Optional: alpha, redshift or
# rv (km/s), ebv, the observing conditions, exposure_time_s, exposure_count, object_id, ra, dec
# (deg) and whatever else you want to find again in the output.
object_id,ra,dec,teff,logg,feh,alpha,rv,ebv,magnitude,seeing_arcsec,zenith_angle_deg,field_angle_deg,\
moon_zenith_angle_deg,moon_target_angle_deg,moon_phase,exposure_time_s,exposure_count
1,150.10,2.21,4200,1.5,-1.2,0.3,-85.0,0.03,20.5,0.8,30,0.3,60,90,0.1,900,12
2,150.24,2.37,4650,2.4,-0.6,0.1,32.5,0.03,21.2,0.8,30,0.5,60,90,0.1,900,12
"""


@dataclass(frozen=True, eq=False)
class TargetList:
    """Targets along `spectrum`, whose label is the row of the list, from 0."""

    targets: xr.Dataset
    understood: dict[str, str]  # name: the column it was read from
    filled: dict[str, str] = field(default_factory=dict)  # name: where its value comes from
    skipped: list[str] = field(default_factory=list)  # problems of the rows that were left out


def read_targets(
    path: str | Path,
    config: SimulationConfig | None = None,
    columns: Sequence[str] = (),
    given: Mapping[str, float | None] | None = None,
    overrides: Sequence[str] = (),
    grid: xr.Dataset | None = None,
    skip_bad: bool = False,
) -> TargetList:
    """Return the targets of a list, every value checked.

    columns: NAME=COLUMN each. given: conditions for all rows. overrides: `section.key=value` of the
    config, which must not be about what the list holds. grid: that has to have the stars.
    skip_bad: leave out rows that cannot be used. Raises InputError naming all that is wrong.
    """
    settings = config if config is not None else SimulationConfig()
    cells = read_cells(path, "targets")
    said = said_columns(columns, KNOWN)
    found = understand(cells, KNOWN, OF_A_STAR, said, [known.name for known in IDENTITY])
    options = {name: value for name, value in (given or {}).items() if value is not None}
    found.problems += _contradictions(cells, found, options, overrides)
    values, problems = _numbers(cells, found)
    axes, wrong = _axes(cells, found)
    refuse(cells.path, found.problems)
    filled = _fill(values, options, settings, cells.count)
    table = as_table(values | {"interpolated_axis": axes}, np.arange(cells.count))
    for known in CONDITIONS:
        if known.name in table:
            table[known.name].attrs["units"] = known.unit or "1"
    table = table.assign(_identity(cells, found))
    problems += wrong
    good = np.setdiff1d(np.arange(cells.count), [problem.row for problem in problems])
    if grid is not None and good.size:
        missed = _off_grid(cells, grid, table.isel(spectrum=good))
        good = np.setdiff1d(good, [problem.row for problem in missed])
        problems += missed
    if not skip_bad or not good.size:
        refuse(cells.path, [], problems)
    understood = {name: cells.names[column] for name, column in found.columns.items()}
    skipped = [str(problem) for problem in sorted(problems, key=lambda problem: problem.row)]
    return TargetList(table.isel(spectrum=good), understood, filled, skipped)


def write_template(path: str | Path) -> None:
    """Write an example list; InputError where something is there, or for a name of no CSV."""
    if Path(path).suffix != ".csv":
        raise InputError(f"the template is a CSV file; end {shown(str(path))} in .csv")
    if not create_bytes(Location.of(path), TEMPLATE.encode()):
        raise InputError(f"{path} exists; name another file for the template")


def _contradictions(
    cells: Cells, found: Understood, options: Mapping[str, float], overrides: Sequence[str]
) -> list[str]:
    """Return what says the same thing twice: an option, or the config, and a column."""
    told = []
    if {"rv", "redshift"} <= set(found.columns):
        both = [cells.names[found.columns[name]] for name in ("redshift", "rv")]
        told.append(f"columns {both[0]} and {both[1]} both give the redshift; remove one")
    keys = [text.partition("=")[0].strip() for text in overrides]
    for name, number in found.columns.items():
        option = "--" + name.removesuffix("_s").replace("_", "-")
        ways = [option] if name in options else []
        ways += [f"--set {key}" for key in keys if key == f"conditions.{name}"]
        told += [
            f"{way} has no effect: the list gives it, in column {cells.names[number]}; leave out "
            "one of the two"
            for way in ways
        ]
    told += [
        f"--{name.removesuffix('_s').replace('_', '-')} and --set conditions.{name} say the same "
        "thing; leave out one of the two"
        for name in options
        if f"conditions.{name}" in keys
    ]
    return told


def _numbers(cells: Cells, found: Understood) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """Return the numbers that the list has of what is known, and what is wrong in them."""
    values, problems = {}, list[Problem]()
    for known in (*STAR, *CONDITIONS):
        if known.bound is None or known.name not in found.factors:
            continue
        column, factor = found.columns[known.name], found.factors[known.name]
        bound = Bound(0.0, LARGEST_EBV, "mag") if known.name == "ebv" else known.bound
        values[known.name], wrong = numbers_in(cells, column, bound, factor)
        problems += wrong
    if "rv" in values:
        values["redshift"] = values.pop("rv") / _KM_S
    for known in IDENTITY:
        if known.bound is not None and known.name in found.factors:
            column, factor = found.columns[known.name], found.factors[known.name]
            wrong = numbers_in(cells, column, known.bound, factor)[1]
            problems += [one for one in wrong if not _is_empty(cells.columns[column][one.row])]
    return values, problems


def _is_empty(cell: object) -> bool:
    """Return whether a cell says nothing: a place on the sky may be unknown."""
    return cell is None or str(cell).casefold() in ("nan", "--")


def _axes(cells: Cells, found: Understood) -> tuple[np.ndarray, list[Problem]]:
    axes = np.full(cells.count, -1, dtype=np.int8)
    if (column := found.columns.get(AXIS.name)) is None:
        return axes, []
    known = {ANY_AXIS: -1, "": -1} | {name: number for number, name in enumerate(AXES)}
    problems = []
    for row, cell in enumerate(cells.columns[column]):
        text = "" if cell is None else str(cell)
        if text in known:
            axes[row] = known[text]
        else:
            told = f"interpolated_axis is {text!r}; known: {', '.join(AXES)}, {ANY_AXIS}"
            problems.append(Problem(row, cells.places[row], told))
    return axes, problems


def _fill(
    values: dict[str, np.ndarray],
    options: Mapping[str, float],
    config: SimulationConfig,
    count: int,
) -> dict[str, str]:
    """Put in what the list does not hold; return where each comes from."""
    filled = {}
    for name in (name for name in _ZERO if name not in values):
        values[name], filled[name] = np.zeros(count), "0, not in the list"
    for name, value in options.items():
        refuse_out_of_bounds(name, np.array([value]), (NEEDED | OPTIONAL)[name], lambda _: "option")
        values[name], filled[name] = np.full(count, value), f"{value:g}, given"
    conditions = config.conditions
    for name in ("exposure_time_s", "exposure_count"):
        if name not in values:
            value = float(getattr(conditions, name))
            values[name], filled[name] = np.full(count, value), f"{value:g}, conditions.{name}"
    known = {name: values[name] for name in NEEDED if name in values}
    u = uniforms(config.dataset.seed, Split.test, Purpose.target_conditions, np.arange(count))
    for name, drawn in draw_conditions(conditions, u, known).items():
        if name in values:
            continue
        low, high = getattr(conditions, name)
        values[name] = drawn
        how = f"{low:g}" if low == high else f"drawn from {low:g} to {high:g}"
        filled[name] = f"{how}, conditions.{name}"
    return filled


def _identity(cells: Cells, found: Understood) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """Return the columns that name the stars, and all that are not known, as they are."""
    columns, taken = {}, {known.name for known in KNOWN} | set(UNITS) | _TAKEN
    for known in IDENTITY:
        if (number := found.columns.get(known.name)) is None:
            continue
        attrs = {"column": cells.names[number]}
        values = kept(cells, number)
        if known.bound is not None:
            attrs["units"] = known.unit
            values = numbers_in(cells, number, known.bound, found.factors[known.name])[0]
        columns[known.name] = ("spectrum", values, attrs)
    for number in found.others:
        name = re.sub(r"\W", "_", cells.names[number]) or "column"
        while name.casefold() in taken:  # files do not tell case apart
            name = f"list_{name}"
        taken.add(name.casefold())
        attrs = {"column": cells.names[number]}
        if cells.units[number]:
            attrs["units"] = cells.units[number]
        columns[name] = ("spectrum", kept(cells, number), attrs)
    return columns


def _off_grid(cells: Cells, grid: xr.Dataset, targets: xr.Dataset) -> list[Problem]:
    """Return which stars the grid does not have; one by one, where they are not all there."""
    problems, rows = [], targets["spectrum"].values
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = range(start, min(start + _ROWS_AT_ONCE, len(rows)))
        if _missed(grid, targets.isel(spectrum=list(some))) is None:
            continue
        for number in some:
            if (told := _missed(grid, targets.isel(spectrum=[number]))) is not None:
                text = told.removeprefix(f"row {rows[number]}").lstrip(": ")
                problems.append(Problem(int(rows[number]), cells.places[rows[number]], text))
    return problems


def _missed(grid: xr.Dataset, targets: xr.Dataset) -> str | None:
    try:
        table_rows(grid, targets)
    except InputError as error:
        return str(error)
    return None


def told(found: TargetList) -> Iterable[str]:
    """Yield what was understood of a list, in lines for a person."""
    documented = {known.name: known.written or known.name for known in KNOWN}
    renamed = {n: theirs for n, theirs in found.understood.items() if theirs != documented[n]}
    if renamed:
        yield "read as: " + ", ".join(f"{ours} = {theirs}" for ours, theirs in renamed.items())
    for name, source in found.filled.items():
        yield f"{name}: {source}"
    for problem in found.skipped:
        yield f"left out: {problem}"
    if moons := impossible_moons(found.targets):
        yield f"warning: {moons}"
