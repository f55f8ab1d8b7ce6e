"""What every grid has in common, and what tells two grids apart."""

import numpy as np
import pytest
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar import grid_fingerprint, open_grid
from simlib.stellar.schema import assemble


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


def changed_flux(grid: xr.Dataset) -> None:
    grid["flux_normalized"].values[1, 2, 3, 0, 17] += np.float32(1e-4)


def changed_continuum(grid: xr.Dataset) -> None:
    grid["continuum"].values[3, 2, 1, 0, 5] *= np.float32(1.001)


def changed_axis(grid: xr.Dataset) -> None:
    grid["alpha"] = grid["alpha"] + 1e-6


def changed_mask(grid: xr.Dataset) -> None:
    grid["present"].values[0, 0, 0, 0] = False


def changed_resolution(grid: xr.Dataset) -> None:
    grid.attrs["resolution"] = 9999.0


def changed_medium(grid: xr.Dataset) -> None:
    grid.attrs["medium"] = "air"


@pytest.mark.parametrize(
    "change",
    [changed_flux, changed_continuum, changed_axis, changed_mask, changed_resolution,
     changed_medium],
)  # fmt: skip
def test_grids_that_differ_in_anything_differ_in_fingerprint(change) -> None:
    grid = open_grid("toy")
    before = grid_fingerprint(grid)
    assert before == grid_fingerprint(open_grid("toy"))
    change(grid)
    assert grid_fingerprint(grid) != before
