"""The compiled path gives the spectra of the reference, and refuses what cannot be made."""

import numpy as np
import pytest
import xarray as xr

from simlib.config import Normalize, load_config
from simlib.errors import InputError
from simlib.parameters import AXES, draw_parameters
from simlib.simulation.compiled import batch
from simlib.simulation.compiled.templates import make_templates
from simlib.simulation.line_spread import LineSpread
from simlib.stellar import open_grid
from tests.simlib.simulation.grids import four_of_each_axis, one_star, same_everywhere
from tests.simlib.simulation.spreads import (
    KINDS,
    PIXELS,
    STELLAR,
    observe,
    spread_of,
    templates_of,
)

LARGEST = 3e-6  # error of any pixel's flux


def corners(grid: xr.Dataset) -> xr.Dataset:
    """Return stars at |z| = 0.003 and E(B-V) = 0 and 0.1, along every axis, off the nodes."""
    rows = []
    for axis, name in enumerate(AXES):
        for redshift in (-0.003, 0.003):
            for ebv in (0.0, 0.1):
                nodes = grid[name].values
                at = {n: float(grid[n].values[len(rows) % grid.sizes[n]]) for n in AXES}
                at[name] = float(0.5 * (nodes[-1] + nodes[-2]))
                rows.append(
                    at | {"interpolated_axis": axis, "redshift": redshift, "ebv": ebv,
                          "magnitude": 20.0}
                )  # fmt: skip
    return xr.Dataset({key: ("spectrum", np.array([row[key] for row in rows])) for key in rows[0]})


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_equals_reference(kind: str) -> None:
    grid = open_grid("default").isel(feh=slice(4, None), alpha=slice(2, None))
    edges = corners(grid)
    ranges = [f"stellar.{name}=[{grid[name][0].item()}, {grid[name][-1].item()}]" for name in AXES]
    drawn = draw_parameters(load_config("demo", ranges), grid, "train", 0, 16)
    drawn = drawn[list(edges)].drop_vars("spectrum")
    stars = xr.concat([drawn, edges], dim="spectrum")
    fast, slow = (observe(path, stars, grid, kind) for path in ("compiled", "reference"))
    off = fast / slow - 1.0
    assert np.abs(off).max() < LARGEST
    shape = off - np.median(off, axis=1, keepdims=True)
    assert np.abs(shape).max() < 3e-6
    assert shape.std() < 3e-7


@pytest.mark.parametrize(
    "kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]
)
def test_compiled_equals_reference_between_nodes_of_all_axes(kind: str) -> None:
    grid = four_of_each_axis()
    between = {name: 0.5 * float(grid[name][1] + grid[name][2]) for name in AXES}
    rows = [
        one_star(**between, interpolated_axis=-1, redshift=redshift, ebv=ebv)
        for redshift, ebv in ((-0.003, 0.1), (0.003, 0.0))
    ]
    stars = xr.concat(rows, dim="spectrum")
    fast, slow = (observe(path, stars, grid, kind) for path in ("compiled", "reference"))
    assert np.abs(fast / slow - 1.0).max() < LARGEST


@pytest.mark.slow  # bit for bit: below
def test_all_four_axes_at_once_agree_with_one_axis_on_its_line() -> None:
    grid = open_grid("default")
    star = draw_parameters(load_config("demo"), grid, "train", 0, 1)
    templates = templates_of(grid, "narrow")
    free = star.assign(interpolated_axis=("spectrum", np.array([-1], dtype=np.int8)))
    one, four = (batch.observe(s, grid, templates, Normalize())[0] for s in (star, free))
    assert np.abs(four / one - 1.0).max() < 1e-6


@pytest.mark.parametrize("kind", ["narrow", "profile"])
def test_a_star_along_one_axis_has_the_same_bits_beside_one_along_all(kind: str) -> None:
    sizes = {"teff": 3, "logg": 3, "feh": 3, "alpha": 2}  # nodes that are no whole fours
    grid = open_grid("default").isel({name: slice(0, n) for name, n in sizes.items()})
    templates = templates_of(grid.assign_attrs(name="odd"), kind)
    place = {name: float(grid[name][0]) for name in AXES} | {"redshift": 0.0013}
    place["teff"] += 60.0
    one, all_axes = (one_star(**place, interpolated_axis=axis) for axis in (0, -1))
    alone = batch.observe(one, grid, templates, Normalize())
    both = xr.concat([all_axes, one], dim="spectrum")
    beside = batch.observe(both, grid, templates, Normalize())
    assert all(np.array_equal(a[0], b[1]) for a, b in zip(alone, beside, strict=True))


def test_a_star_off_its_nodes_is_refused_with_the_nodes() -> None:
    grid = same_everywhere(np.ones_like)
    with pytest.raises(InputError, match="row 0: logg = 1.5 is no node.*1, 2"):
        observe("compiled", one_star(logg=1.5), grid, "narrow")


def test_a_star_beyond_the_prepared_redshift_is_refused() -> None:
    grid = same_everywhere(np.ones_like)
    with pytest.raises(
        InputError, match=r"row 0: redshift is 0.004; it must lie in \[-0.003, 0.003\]"
    ):
        observe("compiled", one_star(redshift=0.004), grid, "narrow")


def test_templates_of_a_smaller_grid_are_not_read_beyond_their_end() -> None:
    grid = open_grid("default")
    few = templates_of(grid.isel(teff=slice(0, 2)).assign_attrs(name="two"), "narrow")
    far = {name: float(grid[name][-1]) for name in AXES}
    with pytest.raises(AssertionError, match="a node lies outside"):
        batch.observe(one_star(**far), grid, few, Normalize())


def test_a_missing_node_is_named() -> None:
    grid = same_everywhere(np.ones_like)
    present = grid["present"].copy()
    present[1, 0, 0, 0] = False
    with pytest.raises(InputError, match="missing node teff 4500, logg 1, feh -1, alpha 0"):
        observe("compiled", one_star(teff=4100.0), grid.assign(present=present), "narrow")


def test_templates_too_blunt_for_the_instrument_are_refused() -> None:
    grid = same_everywhere(np.ones_like)
    blunt = LineSpread(PIXELS, spread_of("narrow").lsf_sigma, 3000.0)
    with pytest.raises(InputError, match="resolution R = 3000 is too low"):
        make_templates(grid, blunt, STELLAR)
