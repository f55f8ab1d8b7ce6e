"""Draw the parameters of simulated observations (paper, tables 1 and 3, section 2.1).

Row i depends only on the seed, the split and i. One of the four stellar parameters varies
continuously, the other three sit on nodes of the grid, as in the paper; or all four vary
(`stellar.sampling = "continuous"`), which shows what was learnt of the nodes alone.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from simlib.arguments import require_dataset
from simlib.config import Conditions, SimulationConfig, Stellar
from simlib.errors import InputError, require_kind, shown
from simlib.geometry import SLACK_DEG, angles_apart, is_impossible
from simlib.rng import Purpose, Split, uniforms
from simlib.withheld import lengths_between, place_between, withheld_intervals

AXES = ("teff", "logg", "feh", "alpha")  # of a stellar grid, in this order
ALL_AXES = -1  # in the place of an axis: all are interpolated

# Which of a row's 16 uniforms shapes what. A change of this table changes every dataset.
COLUMN = {
    "interpolated_axis": 0,
    "thread": 1,  # the three parameters that stay on nodes, as one choice
    "along": 2,  # where on the thread; 3 and 4 are free then
    **{name: column for column, name in enumerate(AXES, 1)},  # where all four vary
    "redshift": 5,
    "ebv": 6,
    "magnitude": 7,
    "seeing": 8,
    "zenith_angle": 9,
    "field_angle": 10,
    "moon_zenith_angle": 11,
    "moon_target_angle": 12,
    "moon_phase": 13,  # 14 and 15 are free
}

UNITS = {
    "teff": "K", "logg": "log10(cm s-2)", "feh": "dex", "alpha": "dex", "redshift": "1",
    "ebv": "mag", "magnitude": "mag", "seeing": "arcsec", "zenith_angle": "degree",
    "field_angle": "degree", "moon_zenith_angle": "degree", "moon_target_angle": "degree",
    "moon_phase": "1",
}  # fmt: skip


def draw_parameters(
    config: SimulationConfig, grid: xr.Dataset, split: Split | str, start: int, stop: int
) -> xr.Dataset:
    """Return the parameters of rows start … stop - 1 of a split; see `draw_rows`."""
    return draw_rows(config, grid, split, np.arange(start, stop))


def draw_rows(
    config: SimulationConfig, grid: xr.Dataset, split: Split | str, rows: np.ndarray
) -> xr.Dataset:
    """Return the parameters of rows of a split, given by number in any order, dim `spectrum`.

    grid: the stellar grid (contract: dims teff, logg, feh, alpha; `present`).
    Raises InputError when a range leaves the grid or holds no complete line of nodes, or, where all
    four vary, when the grid misses a node.
    """
    require_kind("config", config, SimulationConfig, "what `load_config` returns")
    require_dataset("grid", grid, (*AXES, "present"), "what `open_grid` returns")
    if split not in (*Split, *Split.__members__):
        raise InputError(f"no split {shown(split)}; known: {', '.join(Split.__members__)}")
    which = Split[split] if isinstance(split, str) else split
    u = uniforms(config.dataset.seed, which, Purpose.draws, rows)
    columns = _draw_stars(config.stellar, grid, u)
    for name in ("redshift", "ebv", "magnitude"):
        columns[name] = _uniform(u, name, getattr(config.stellar, name))
    columns |= draw_conditions(config.conditions, u)
    return as_table(columns, index=rows)


def as_table(columns: dict[str, np.ndarray], index: np.ndarray) -> xr.Dataset:
    """Return columns as a Dataset along `spectrum`, with units."""
    table = xr.Dataset(
        {name: ("spectrum", column, {"units": UNITS.get(name, "1")})
         for name, column in columns.items()},
        coords={"spectrum": index},
    )  # fmt: skip
    table["interpolated_axis"].attrs = {
        "flag_values": np.arange(-1, len(AXES), dtype=np.int8),
        "flag_meanings": " ".join(("all", *AXES)),
        "long_name": "stellar parameter that is interpolated, the others are on nodes",
    }
    return table


def impossible_geometry(conditions: xr.Dataset) -> np.ndarray:
    """Return which rows have a moon that cannot stand there, bool."""
    names = ("zenith_angle", "moon_zenith_angle", "moon_target_angle")
    return is_impossible(*(conditions[name].values for name in names))


def _uniform(u: np.ndarray, name: str, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    return low + (high - low) * u[:, COLUMN[name]]


def _draw_stars(stellar: Stellar, grid: xr.Dataset, u: np.ndarray) -> dict[str, np.ndarray]:
    """Return the four stellar parameters and `interpolated_axis` of each row."""
    if stellar.sampling == "continuous":
        return _draw_between_nodes(stellar, grid, u)
    axis = np.floor(u[:, COLUMN["interpolated_axis"]] * len(AXES)).astype(np.int8)
    values = np.empty((len(AXES), len(u)))
    for number, name in enumerate(AXES):
        rows = np.flatnonzero(axis == number)
        threads, lengths = _threads_and_lengths(stellar, grid, name)
        which = np.floor(u[rows, COLUMN["thread"]] * len(threads)).astype(int)
        for other, position in _others(name):
            values[other, rows] = grid[AXES[other]].values[threads[which, position]]
        low, high = getattr(stellar, name)
        along = u[rows, COLUMN["along"]]
        if lengths is None:
            values[number, rows] = low + (high - low) * along
        else:
            nodes = grid[name].values
            values[number, rows] = place_between(nodes, (low, high), lengths[which], along)
    columns = dict(zip(AXES, values, strict=True))
    return columns | {"interpolated_axis": axis}


def _threads_and_lengths(
    stellar: Stellar, grid: xr.Dataset, along: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the threads along a parameter and, where some are withheld, what is drawn from them.

    Lengths (threads, intervals between nodes); no thread that has none is among them.
    """
    threads = complete_threads(stellar, grid, along)
    if stellar.withheld == "nothing":
        return threads, None
    nodes = [grid[name].values for name in AXES]
    is_cells, number = stellar.withheld == "cells", AXES.index(along)
    out = withheld_intervals([len(one) for one in nodes], number, stellar.withheld_share, is_cells)
    length = lengths_between(nodes[number], getattr(stellar, along))
    lengths = np.where(out[tuple(threads.T)] == stellar.withheld_only, length, 0.0)
    is_drawn = lengths.any(axis=1)
    if not is_drawn.any():
        raise InputError(
            f"stellar.withheld = {stellar.withheld!r} leaves nothing to draw along {along!r} "
            "within the ranges of [stellar]; widen them, or change stellar.withheld_share"
        )
    return threads[is_drawn], lengths[is_drawn]


def _draw_between_nodes(stellar: Stellar, grid: xr.Dataset, u: np.ndarray) -> dict[str, np.ndarray]:
    present = np.asarray(grid["present"].values)
    if not present.all():
        raise InputError(
            "stellar.sampling = 'continuous' splines through every node of the stellar grid, which "
            f"misses {np.count_nonzero(~present)} of {present.size}; choose a grid without holes "
            "or stellar.sampling = 'threads'"
        )
    for name in AXES:
        _require_inside(stellar, grid, name)
    columns = {name: _uniform(u, name, getattr(stellar, name)) for name in AXES}
    return columns | {"interpolated_axis": np.full(len(u), ALL_AXES, np.int8)}


def complete_threads(stellar: Stellar, grid: xr.Dataset, along: str) -> np.ndarray:
    """Return the node numbers (n, 3) of the other parameters whose line along `along` is whole.

    The spline needs every node of its line, so lines with a missing node are never drawn.
    """
    number = AXES.index(along)
    whole = np.asarray(grid["present"].values).all(axis=number)
    for position, name in ((p, AXES[other]) for other, p in _others(along)):
        low, high = getattr(stellar, name)
        inside = (grid[name].values >= low) & (grid[name].values <= high)
        whole &= inside.reshape([-1 if p == position else 1 for p in range(len(AXES) - 1)])
    _require_inside(stellar, grid, along)
    threads = np.argwhere(whole)
    if not len(threads):
        raise InputError(
            f"no line of the stellar grid along {along!r} is whole within the ranges of [stellar]; "
            "widen them to hold at least one node of each parameter, or choose another grid"
        )
    return threads


def _others(along: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each other axis, and its position among the three."""
    numbers = [number for number, name in enumerate(AXES) if name != along]
    return ((number, position) for position, number in enumerate(numbers))


def _require_inside(stellar: Stellar, grid: xr.Dataset, name: str) -> None:
    nodes, (low, high) = grid[name].values, getattr(stellar, name)
    if low < nodes[0] or high > nodes[-1]:
        raise InputError(
            f"stellar.{name} = [{low:g}, {high:g}] leaves the grid's axis "
            f"[{nodes[0]:g}, {nodes[-1]:g}]; narrow it or choose another stellar.grid"
        )


def draw_conditions(
    conditions: Conditions, u: np.ndarray, known: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Return the observing conditions of each row.

    u: its uniforms, (rows, 16). known: conditions that are not drawn, (rows,); where the geometry
    is to be possible, a moon is drawn that is so for them, unless one of its angles is among them.
    """
    names = ("seeing", "zenith_angle", "field_angle", "moon_zenith_angle", "moon_target_angle",
             "moon_phase")  # fmt: skip
    columns = {name: _uniform(u, name, getattr(conditions, name)) for name in names}
    columns |= known or {}
    if conditions.geometry == "consistent" and not {"moon_zenith_angle", "moon_target_angle"} & {
        *(known or {})
    }:
        columns |= _consistent_moon(conditions, u, columns["zenith_angle"])
    return columns


def _consistent_moon(
    conditions: Conditions, u: np.ndarray, zenith: np.ndarray
) -> dict[str, np.ndarray]:
    """Draw a moon that can stand there: its zenith angle first, then its angle to the target."""
    least, most = conditions.moon_target_angle
    low, high = conditions.moon_zenith_angle
    # The moons that reach an allowed angle: the highest and the lowest of them.
    low_moon = np.maximum(low, angles_apart(zenith, np.clip(zenith, least, most))[0])
    high_moon = np.minimum(high, angles_apart(zenith, np.clip(180.0 - zenith, least, most))[1])
    moon = low_moon + (high_moon - low_moon) * u[:, COLUMN["moon_zenith_angle"]]
    nearest, farthest = angles_apart(zenith, moon)
    nearest, farthest = np.maximum(least, nearest), np.minimum(most, farthest)
    if np.any(low_moon > high_moon + SLACK_DEG) or np.any(nearest > farthest + SLACK_DEG):
        raise InputError(
            "conditions.geometry = 'consistent': some zenith angles of "
            f"{list(conditions.zenith_angle)} have no moon within moon_zenith_angle = "
            f"{list(conditions.moon_zenith_angle)} and moon_target_angle = "
            f"{list(conditions.moon_target_angle)}; widen these ranges"
        )
    angle = nearest + (farthest - nearest) * u[:, COLUMN["moon_target_angle"]]
    return {"moon_zenith_angle": moon, "moon_target_angle": angle}
