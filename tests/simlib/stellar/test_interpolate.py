"""Interpolation is exact on the toy, whose spectra are cubic in every parameter."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.stellar import continuum_on, interpolate_axis, interpolate_grid, open_grid
from simlib.stellar.interpolate import from_root_depth, root_depth
from simlib.stellar.toy import toy_continuum, toy_flux

INSIDE = {
    "teff": st.floats(3500, 5000),
    "logg": st.floats(0, 5),
    "feh": st.floats(-2.5, 0.75),
    "alpha": st.floats(-0.25, 0.5),
}


@pytest.fixture(scope="module")
def toy() -> xr.Dataset:
    return open_grid("toy")


def without(grid: xr.Dataset, **node: float) -> xr.Dataset:
    """Return the grid with the matching nodes missing, as a store would hold them."""
    holed = grid.copy(deep=True)
    holed["present"].loc[node] = False
    holed["flux_normalized"] = holed["flux_normalized"].where(holed["present"])
    holed["continuum"] = holed["continuum"].where(holed["present"])
    return holed


@settings(max_examples=20, deadline=None)
@given(st.fixed_dictionaries(INSIDE))
def test_four_axes_at_once_reproduce_the_analytic_spectrum(point: dict[str, float]) -> None:
    toy = open_grid("toy")
    got = interpolate_grid(toy, **point)
    expected = toy_flux(toy["wavelength_model"].values, **point)
    np.testing.assert_allclose(got["flux_normalized"], expected, atol=3e-6)
    expected = toy_continuum(toy["wavelength_continuum"].values, **point)
    np.testing.assert_allclose(got["continuum"], expected, rtol=3e-6)
    version = toy.attrs["version"]
    assert got.attrs == {"grid": f"toy {version}", "medium": "vacuum", "resolution": 10000.0}


def test_through_the_root_of_depth_a_node_is_its_flux_and_between_is_cubic(
    toy: xr.Dataset,
) -> None:
    node = {"teff": 4500.0, "logg": 1.5, "feh": -0.5, "alpha": 0.25}
    flux = toy["flux_normalized"].sel(node).values.astype(float)
    on_node = interpolate_grid(toy, **node, through="root_depth")["flux_normalized"]
    np.testing.assert_allclose(on_node, flux, rtol=1e-12)
    got = interpolate_grid(toy, **{**node, "teff": 4321.0}, through="root_depth")
    line = toy["flux_normalized"].sel({k: v for k, v in node.items() if k != "teff"}).values
    expected = CubicSpline(toy["teff"], np.sqrt(-np.log(np.minimum(line, 1.0))))(4321.0)
    np.testing.assert_allclose(got["flux_normalized"], np.exp(-(expected**2)), rtol=1e-6)
    plain = interpolate_grid(toy, **{**node, "teff": 4321.0})
    np.testing.assert_array_equal(got["continuum"], plain["continuum"])


@given(st.floats(1e-6, 2.0))
def test_flux_comes_back_from_its_root_of_depth(flux: float) -> None:
    assert from_root_depth(root_depth(np.array(flux))) == pytest.approx(flux, rel=1e-12)


def test_an_unknown_interpolant_is_refused(toy: xr.Dataset) -> None:
    with pytest.raises(InputError, match="through 'log'; there is flux, root_depth"):
        interpolate_grid(toy, teff=4000, logg=1, feh=0, alpha=0, through="log")


@pytest.mark.parametrize(("axis", "value"), [("logg", 2.2), ("feh", -0.77), ("alpha", 0.4)])
def test_one_axis_interpolates_the_flux_density(toy: xr.Dataset, axis: str, value: float) -> None:
    nodes = {"teff": 4500.0, "logg": 3.5, "feh": -0.5, "alpha": 0.25}
    got = interpolate_axis(toy, axis, **{**nodes, axis: value})
    flux = toy["flux_normalized"] * xr.DataArray(
        continuum_on(toy, toy["wavelength_model"].values), dims=toy["flux_normalized"].dims
    )
    line = flux.sel({name: node for name, node in nodes.items() if name != axis})
    powers = np.polyfit(toy[axis].values, line.transpose(axis, ...).values, 3)  # exact: four nodes
    expected = sum(c * value ** (3 - i) for i, c in enumerate(powers))
    continuum = continuum_on_point(got, toy["wavelength_model"].values)
    np.testing.assert_allclose(got["flux_normalized"] * continuum, expected, rtol=1e-6)


def continuum_on_point(spectrum: xr.Dataset, wavelength_nm: np.ndarray) -> np.ndarray:
    """Return the continuum of one interpolated spectrum on other wavelengths."""
    grid = spectrum.expand_dims({name: [0.0] for name in ("teff", "logg", "feh", "alpha")})
    return continuum_on(grid, wavelength_nm)[0, 0, 0, 0]


def test_one_axis_refuses_a_parameter_off_its_nodes(toy: xr.Dataset) -> None:
    with pytest.raises(
        InputError, match=r"logg = 2 is not a node of the grid; its nodes are 0, 1.5"
    ):
        interpolate_axis(toy, "teff", teff=4100, logg=2, feh=-0.5, alpha=0.0)
    with pytest.raises(InputError, match="no axis 'age' in a stellar grid"):
        interpolate_axis(toy, "age", teff=4000, logg=1.5, feh=-0.5, alpha=0.0)


def test_a_row_does_not_depend_on_the_rows_beside_it(toy: xr.Dataset) -> None:
    teff = np.linspace(3501, 4999, 9)
    together = interpolate_grid(toy, teff=teff, logg=1.1, feh=-1.0, alpha=0.1)
    alone = interpolate_grid(toy, teff=teff[4], logg=1.1, feh=-1.0, alpha=0.1)
    assert together["flux_normalized"].dims == ("spectrum", "wavelength_model")
    assert np.array_equal(together["flux_normalized"][4], alone["flux_normalized"])
    assert np.array_equal(together["continuum"][4], alone["continuum"])


def test_outside_the_grid_is_refused(toy: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"teff = 5001 is outside the grid's axis \[3500, 5000\]"):
        interpolate_grid(toy, teff=5001, logg=1, feh=0, alpha=0)


def test_beside_a_missing_node_is_refused_by_its_name(toy: xr.Dataset) -> None:
    holed = without(toy, teff=3500.0, logg=5.0, feh=-2.5)
    with pytest.raises(InputError, match=r"misses the nodes teff=3500 logg=5 feh=-2.5 alpha=-0.25"):
        interpolate_axis(holed, "teff", teff=3600, logg=5, feh=-2.5, alpha=-0.25)
    with pytest.raises(InputError, match=r"misses the nodes teff=3500 logg=5 feh=-2.5"):
        interpolate_grid(holed, teff=3600, logg=4.9, feh=-2.4, alpha=0.1)


def test_missing_nodes_elsewhere_leave_a_finite_spline_over_the_others(toy: xr.Dataset) -> None:
    holed = without(toy, teff=3500.0, logg=5.0, feh=-2.5)
    line = interpolate_axis(holed, "teff", teff=4600, logg=5, feh=-2.5, alpha=0.25)
    # three nodes are left: a parabola misses the cubic part of the toy, by little
    expected = toy_flux(toy["wavelength_model"].values, 4600, 5, -2.5, 0.25)
    np.testing.assert_allclose(line["flux_normalized"], expected, atol=0.02)
    far = interpolate_grid(holed, teff=4600, logg=1.0, feh=0.2, alpha=0.1)
    full = interpolate_grid(toy, teff=4600, logg=1.0, feh=0.2, alpha=0.1)
    np.testing.assert_allclose(far["flux_normalized"], full["flux_normalized"], atol=0.02)
    assert np.isfinite(far["continuum"]).all()


def test_continuum_is_refused_outside_its_wavelengths(toy: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"the grid has it for 670.00-912.00 nm"):
        continuum_on(toy, np.array([650.0, 700.0]))


def test_continuum_of_picked_nodes_equals_that_of_all(toy: xr.Dataset) -> None:
    wavelength = np.linspace(680.0, 900.0, 5)
    nodes = np.array([[0, 1, 2, 3], [3, 0, 1, 2]])
    everything = continuum_on(toy, wavelength)
    picked = continuum_on(toy, wavelength, nodes)
    np.testing.assert_allclose(picked, [everything[tuple(node)] for node in nodes])


def test_continuum_of_a_missing_node_is_nan_and_spoils_no_other(toy: xr.Dataset) -> None:
    holed = without(toy, teff=3500.0, logg=5.0)
    wavelength = np.linspace(680.0, 900.0, 5)
    got, whole = continuum_on(holed, wavelength), continuum_on(toy, wavelength)
    assert np.array_equal(np.isnan(got[..., 0]), ~holed["present"].values)
    np.testing.assert_allclose(got[holed["present"].values], whole[holed["present"].values])
