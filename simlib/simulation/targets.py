"""A person's own stars: a table of targets and conditions in, their spectra out."""

from pathlib import Path

import numpy as np
import xarray as xr

from simlib.bounds import Bound
from simlib.config import LARGEST_EBV, LARGEST_REDSHIFT, SimulationConfig
from simlib.errors import InputError
from simlib.etc.conditions_file import COLUMNS, conditions_in
from simlib.instrument import load_instrument
from simlib.parameters import AXES, as_table
from simlib.simulation.simulate import Path as SimulationPath
from simlib.simulation.simulate import simulate, terms_at
from simlib.stellar.grid import open_grid
from simlib.tables import Columns, read_columns

# What a number may be; whether the grid has the star is checked where it is looked up.
STAR = {
    "teff": Bound(0.0, 1e6, "K"),
    "logg": Bound(-10.0, 20.0, ""),
    "feh": Bound(-20.0, 10.0, ""),
    "alpha": Bound(-10.0, 10.0, ""),
    "redshift": Bound(-LARGEST_REDSHIFT, LARGEST_REDSHIFT, ""),
    "ebv": Bound(0.0, LARGEST_EBV, "mag"),
    "magnitude": Bound(0.0, 40.0, "mag"),
}
ANY_AXIS = "all"  # of the stellar parameters: none needs to be on a node


def read_targets(path: str | Path) -> xr.Dataset:
    """Return the targets of a CSV file along `spectrum`, every value checked.

    Columns: those of a list of conditions, and those of `STAR`; optionally `interpolated_axis`:
    teff, logg, feh, alpha (the other three are on nodes of the grid) or all, which is the default.
    Raises InputError naming the line of what cannot be used.
    """
    table = read_columns(path, "targets", (*STAR, *COLUMNS))
    stars = {name: table.numbers(name, bound) for name, bound in STAR.items()}
    stars["interpolated_axis"] = _axes(table)
    conditions = conditions_in(table).rename(condition="spectrum").drop_vars("ebv")
    return as_table(stars, np.arange(len(table.lines))).merge(conditions)


def _axes(table: Columns) -> np.ndarray:
    if "interpolated_axis" not in table.names:
        return np.full(len(table.lines), -1, dtype=np.int8)
    known = {ANY_AXIS: -1, "": -1} | {name: number for number, name in enumerate(AXES)}
    texts = table.texts("interpolated_axis")
    for row, text in enumerate(texts):
        if text not in known:
            raise InputError(
                f"{table.place(row)}: interpolated_axis is {text!r}; "
                f"known: {', '.join(AXES)}, {ANY_AXIS}"
            )
    return np.array([known[text] for text in texts], dtype=np.int8)


def simulate_targets(
    targets: xr.Dataset, config: SimulationConfig, path: SimulationPath = "compiled"
) -> xr.Dataset:
    """Return the spectra of a table of targets, as `simulate` does.

    The calculator's terms are computed for each row's own conditions; a star may lie outside the
    ranges that the config draws from. A row does not depend on the others.
    """
    grid, instrument = open_grid(config.grid), load_instrument(config.instrument.name)
    return simulate(targets, grid, instrument, config, path)


def terms_of_targets(targets: xr.Dataset, config: SimulationConfig) -> xr.Dataset:
    """Return the calculator's terms that `simulate_targets` uses, row by row."""
    return terms_at(targets, load_instrument(config.instrument.name), config)
