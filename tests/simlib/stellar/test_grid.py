"""What every grid has in common, and what tells two grids apart."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar import grid_fingerprint, open_grid
from simlib.stellar.schema import COORDINATES, assemble, checksum_of
from simlib.stellar.store import write_grid


@pytest.mark.parametrize("name", ["default", "toy"])
def test_every_grid_has_the_same_shape_units_and_attributes(name: str) -> None:
    grid = open_grid(name)
    assert grid["flux_normalized"].dims == (*AXES, "wavelength_model")
    assert grid["continuum"].dims == (*AXES, "wavelength_continuum")
    assert grid["present"].dims == AXES
    assert grid["present"].dtype == bool
    assert grid["flux_normalized"].dtype == np.float32
    assert grid["wavelength_model"].dtype == np.float64
    assert grid["wavelength_model"].attrs == {"units": "nm", "medium": "vacuum"}
    assert grid["continuum"].attrs["units"] == "erg s-1 cm-2 AA-1"
    assert grid.attrs["medium"] == "vacuum"
    for key in ("resolution", "source", "version", "license", "checksum"):
        assert grid.attrs[key], key


def test_an_unknown_grid_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match=r"no stellar grid 'bosz': .*default, toy"):
        open_grid("bosz")


def test_the_medium_has_no_default() -> None:
    toy = open_grid("toy")
    parts = {name: toy[name].values for name in ("flux_normalized", "continuum", "present")}
    attrs = {k: v for k, v in toy.attrs.items() if k != "medium"}
    with pytest.raises(InputError, match="must state its medium"):
        assemble(
            {name: toy[name].values for name in AXES},
            wavelength_model=toy["wavelength_model"].values,
            wavelength_continuum=toy["wavelength_continuum"].values,
            node_checksum=toy["node_checksum"].values,
            attrs=attrs,
            **parts,
        )


VARIABLES = ("flux_normalized", "continuum", "present", *COORDINATES)


def changed(grid: xr.Dataset, name: str) -> xr.Dataset:
    """Return the grid with the last value of a variable moved by as little as can be."""
    values = grid[name].values.copy()
    last = values.flat[-1]
    values.flat[-1] = not last if values.dtype == bool else np.nextafter(last, last.dtype.type(1e9))
    return grid.assign({name: (grid[name].dims, values, grid[name].attrs)})


def test_every_variable_of_a_grid_is_tried() -> None:
    assert set(open_grid("toy").variables) == {*VARIABLES, "node_checksum"}


@pytest.mark.parametrize("name", VARIABLES)
def test_grids_that_differ_in_any_value_differ_in_fingerprint(name: str) -> None:
    grid = open_grid("toy")
    assert grid_fingerprint(changed(grid, name)) != grid_fingerprint(grid)


@pytest.mark.parametrize("name", ["flux_normalized", "continuum"])
def test_every_node_counts(name: str) -> None:
    grid = open_grid("toy").isel(teff=slice(0, 2), logg=[0], feh=slice(0, 2), alpha=slice(0, 2))
    found = {grid_fingerprint(grid)}
    for node in np.ndindex(grid["present"].shape):
        one = grid.copy(deep=True)
        one[name].values[(*node, 3)] *= np.float32(1.001)
        found.add(grid_fingerprint(one))
    assert len(found) == 1 + grid["present"].size


# What a grid says of itself: what says how its flux is to be read, and what only names it.
READING = {"resolution": 9999.0, "medium": "air"}
NAMING = {"name": "other", "source": "other", "version": "2", "license": "other"}


def test_what_says_how_to_read_it_counts_and_what_names_it_does_not() -> None:
    grid = open_grid("toy")
    assert {*READING, *NAMING, "checksum"} == set(grid.attrs)
    before = grid_fingerprint(grid)
    assert before == grid_fingerprint(open_grid("toy"))
    for name, value in READING.items():
        assert grid_fingerprint(grid.assign_attrs({name: value})) != before, name
    for name, value in NAMING.items():
        assert grid_fingerprint(grid.assign_attrs({name: value})) == before, name


def test_a_recorded_checksum_is_that_of_the_data(tmp_path: Path) -> None:
    """It is trusted where a grid is mapped or lazy: hashing the values must give the same."""
    small = open_grid("toy").isel(teff=slice(0, 2), logg=[0], feh=[0], alpha=slice(1, 3))
    write_grid(tmp_path / "grid.zarr", small)
    assert grid_fingerprint(open_grid(tmp_path / "grid.zarr")) == grid_fingerprint(small)
    for name in ("default", tmp_path / "grid.zarr"):
        grid = open_grid(name)
        flux = grid["flux_normalized"]
        in_memory = grid.assign(flux_normalized=(flux.dims, flux.values.copy()))
        assert grid_fingerprint(in_memory) == grid_fingerprint(grid)
        assert grid.attrs["checksum"] == checksum_of(grid, grid["node_checksum"].values)
