"""The embedded grid against every rule of the sanity table, and the table against bad grids.

Where a rule fails at some nodes for a known reason, exactly these nodes are pinned.
"""

import numpy as np
import pytest
import xarray as xr
from scipy.constants import Stefan_Boltzmann

from simlib.air_wavelengths import vacuum_to_air
from simlib.fingerprint import fingerprint
from simlib.stellar import open_grid
from simlib.stellar.quality.features import LINES, equivalent_width, features, line_depth
from simlib.stellar.quality.leave_one_out import leave_one_out
from simlib.stellar.quality.sanity import SanityRow, black_body_flux, judge, sanity_table
from simlib.stellar.quality.sanity_exceptions import Known
from simlib.stellar.quality.sanity_features import measure_between, measure_nodes

JUDGED = {  # how many nodes or stars each rule judges in the embedded grid
    "stars: depth of Ca II, off by": 9,
    "stars: depth of Na I, K I / expected": 12,
    "stars: depth of Mg I, Fe I, off by": 6,
    "stars: width of Ca II / expected": 4,
    "stars: mean flux 691-909 nm, off by": 6,
    "Ca II 8542: minimum off its vacuum wavelength, nm": 1344,
    "depth of Ca II 8542 - 8662": 1344,
    "depth of Ca II 8662 - 8498": 1344,
    "width of Ca II, a step up in [M/H], ≥ 4000 K": 840,
    "width of Ca II, log g 0.5 - 2.5, ≥ 4500 K": 96,
    "depth of Na I, log g 4.5 / 2.5, 4000-5000 K, [M/H] ≥ -1": 200,
    "[alpha/M] 0.4 - 0: depth of Ca II": 1008,
    "[alpha/M] 0.4 - 0: depth of Mg I": 336,
    "[alpha/M] 0.4 - 0: depth of Ti I": 1344,
    "[alpha/M] 0.4 - 0: depth of Si I": 1008,
    "[alpha/M] 0.4 - 0: depth of Fe I": 336,
    "[alpha/M] 0.4 - 0: flux in CN, log g ≤ 2, ≥ 4250 K, [M/H] ≥ -0.5": 48,
    "TiO 7126 step, ≥ 4500 K": 576,
    "TiO 7126 step, 3900-4000 K, solar": 6,
    "TiO 7126 step, 3500-3550 K, solar": 6,
    "TiO 7126 step, 3500 K, [M/H] 0.5": 24,
    "TiO 7126 step, [M/H] -2": 168,
    "continuum at 800 nm / black body, ≥ 3900 K": 960,
    "continuum at 800 nm / black body, < 3900 K": 384,
    "continuum at 800 nm, a step up in Teff": 1152,
    "flux: lowest, own resolution": 1344,
    "flux: highest, own resolution": 1344,
    "flux: top of every 10 nm, ≥ 4200 K": 768,
    "the same, and [M/H] ≤ 0.25, log g > 1": 384,
}
FEW = {  # exactly where the rules with few failures fail
    "depth of Ca II 8662 - 8498": {
        (3500, 2, 0.5, 0.25),
        (3500, 2, 0.5, 0.5),
        (3500, 2, 0.75, 0.25),
        (3500, 2, 0.75, 0.5),
        (3500, 3, 0.5, 0.25),
        (3500, 3, 0.5, 0.5),
        (3500, 3, 0.75, 0),
        (3500, 3, 0.75, 0.25),
        (3500, 3, 0.75, 0.5),
        (3500, 4, 0.5, 0.25),
        (3500, 4, 0.5, 0.5),
        (3500, 4, 0.75, 0),
        (3500, 4, 0.75, 0.25),
        (3500, 4, 0.75, 0.5),
        (3500, 5, 0.5, 0.5),
        (3500, 5, 0.75, 0.25),
        (3500, 5, 0.75, 0.5),
        (3750, 4, 0.75, 0.5),
    },
    "depth of Na I, log g 4.5 / 2.5, 4000-5000 K, [M/H] ≥ -1": {
        (4000, "Na I 8195", 0.5, -0.25),
        (4000, "Na I 8195", 0.75, -0.25),
        (4250, "Na I 8195", 0.5, -0.25),
        (4250, "Na I 8195", 0.75, -0.25),
        (4500, "Na I 8195", 0.5, -0.25),
        (4500, "Na I 8195", 0.75, -0.25),
        (4750, "Na I 8195", 0.5, -0.25),
        (4750, "Na I 8195", 0.75, -0.25),
        (5000, "Na I 8183", -1, 0.5),
        (5000, "Na I 8183", -0.5, 0.5),
        (5000, "Na I 8195", 0.5, -0.25),
        (5000, "Na I 8195", 0.75, -0.25),
    },
    "[alpha/M] 0.4 - 0: depth of Ca II": {
        (4000, "Ca II 8542", 0, 0.5),
        (4000, "Ca II 8542", 0, 0.75),
        (4000, "Ca II 8662", 0, 0.5),
        (4000, "Ca II 8662", 0, 0.75),
        (4250, "Ca II 8542", 0, 0.75),
        (4250, "Ca II 8662", 0, 0.75),
    },
    "[alpha/M] 0.4 - 0: flux in CN, log g ≤ 2, ≥ 4250 K, [M/H] ≥ -0.5": {(5000, 0, -0.5)},
    "TiO 7126 step, 3900-4000 K, solar": {(4000, 4, 0, 0)},
    "TiO 7126 step, 3500-3550 K, solar": {(3500, 3, 0, 0), (3500, 4, 0, 0)},
    "TiO 7126 step, 3500 K, [M/H] 0.5": {
        (3500, 0, 0.5, -0.25),
        (3500, 0, 0.5, 0),
        (3500, 1, 0.5, -0.25),
        (3500, 2, 0.5, -0.25),
        (3500, 3, 0.5, -0.25),
        (3500, 4, 0.5, -0.25),
        (3500, 5, 0.5, -0.25),
    },
    "TiO 7126 step, [M/H] -2": {
        (3500, 0, -2, 0.25),
        (3500, 0, -2, 0.5),
        (3500, 1, -2, 0),
        (3500, 1, -2, 0.25),
        (3500, 1, -2, 0.5),
        (3500, 2, -2, 0),
        (3500, 2, -2, 0.25),
        (3500, 2, -2, 0.5),
        (3500, 3, -2, 0.25),
        (3500, 3, -2, 0.5),
        (3500, 4, -2, 0.5),
        (3500, 5, -2, 0.5),
        (3750, 2, -2, 0.5),
        (3750, 3, -2, 0.5),
    },
    "continuum at 800 nm / black body, < 3900 K": {
        (3500, 0, 0.75, 0.5),
        (3500, 1, 0.75, 0.5),
        (3500, 2, 0.75, 0.5),
        (3500, 3, 0.5, 0.5),
        (3500, 3, 0.75, 0.5),
        (3500, 4, -0.5, 0.5),
        (3500, 4, 0, 0.5),
        (3500, 4, 0.5, 0.25),
        (3500, 4, 0.5, 0.5),
        (3500, 4, 0.75, 0),
        (3500, 4, 0.75, 0.25),
        (3500, 4, 0.75, 0.5),
        (3500, 5, -0.5, 0.5),
        (3500, 5, 0, 0.25),
        (3500, 5, 0, 0.5),
        (3500, 5, 0.5, 0),
        (3500, 5, 0.5, 0.25),
        (3500, 5, 0.5, 0.5),
        (3500, 5, 0.75, 0),
        (3500, 5, 0.75, 0.25),
        (3500, 5, 0.75, 0.5),
        (3750, 5, 0.5, 0.5),
        (3750, 5, 0.75, 0.5),
    },
    "the same, and [M/H] ≤ 0.25, log g > 1": {
        (4250, 2, 0, -0.25),
        (4250, 2, 0, 0.5),
        (4250, 3, 0, 0.25),
        (4250, 3, 0, 0.5),
        (4250, 4, -0.5, 0.5),
        (4250, 4, 0, 0.25),
        (4250, 4, 0, 0.5),
        (4250, 5, -0.5, 0.5),
        (4250, 5, 0, 0),
        (4250, 5, 0, 0.25),
        (4250, 5, 0, 0.5),
        (4500, 2, 0, -0.25),
        (4500, 5, 0, 0.5),
    },
}
MANY = {  # how often the others fail, by how much at most, and a digest of where
    "[alpha/M] 0.4 - 0: depth of Ti I": (274, -0.076, "626e157c8a9d9321"),
    "[alpha/M] 0.4 - 0: depth of Si I": (164, -0.067, "c45479398d16ce71"),
    "[alpha/M] 0.4 - 0: depth of Fe I": (103, 0.125, "2e827bbe3eb4a04d"),
    "TiO 7126 step, ≥ 4500 K": (149, 0.639, "b5353c3373da8e38"),
    "continuum at 800 nm / black body, ≥ 3900 K": (44, 1.330, "bd807a81494d74dc"),
    "flux: top of every 10 nm, ≥ 4200 K": (62, 0.463, "41e6cf264fb55c69"),
}
# two depths that differ by less than 1e-6: the last bit of a float decides
TIES = {(3750, "Si I 7423", 5, -2.5), (4500, "Si I 8648", 3, 0)}


@pytest.fixture(scope="module")
def table() -> dict[str, SanityRow]:
    return {row.check: row for row in sanity_table(open_grid())}


def places(row: SanityRow) -> set[tuple[object, ...]]:
    return {tuple(place.values()) for place in row.failed}


def test_every_rule_judges_all_nodes_it_speaks_about(table: dict[str, SanityRow]) -> None:
    assert {check: row.judged for check, row in table.items()} == JUDGED


@pytest.mark.parametrize("check", JUDGED)
def test_a_rule_holds_but_for_its_known_exception(table: dict[str, SanityRow], check: str) -> None:
    row = table[check]
    assert row.unexplained == []
    if check in MANY:
        count, worst, digest = MANY[check]
        failed = [place for place in row.failed if tuple(place.values()) not in TIES]
        assert (len(failed), fingerprint(failed)) == (count, digest)
        assert row.worst == pytest.approx(worst, abs=5e-4)
    else:
        assert places(row) == FEW.get(check, set())


def test_left_out_nodes_are_predicted() -> None:
    grid = open_grid()
    cubic = {error.axis: error for error in leave_one_out(grid)}
    for axis in ("teff", "logg", "feh"):
        assert cubic[axis].warm.rms < 0.005, axis
    assert cubic["alpha"].warm.rms == pytest.approx(0.0059, abs=1e-4)  # three nodes are left
    assert cubic["teff"].warm.nodes == 4 * 6 * 8 * 4
    linear = {error.axis: error.warm.rms for error in leave_one_out(grid, is_linear=True)}
    assert max(linear[axis] for axis in ("logg", "feh", "alpha")) < 0.01
    assert linear["teff"] == pytest.approx(0.0117, abs=1e-4)  # neighbours 500 K apart


def mislabelled(grid: xr.Dataset) -> xr.Dataset:
    air = vacuum_to_air(grid["wavelength_model"].values)
    return grid.assign_coords(wavelength_model=("wavelength_model", air))


def corner(**kept: slice) -> xr.Dataset:
    """Return a few warm nodes of the embedded grid, in memory."""
    ends = {"teff": slice(4500, 4750), "logg": slice(1, 3), "feh": slice(-1, 0),
            "alpha": slice(0, 0.5), **kept}  # fmt: skip
    return open_grid().sel(ends).copy(deep=True)


def rows_of(grid: xr.Dataset) -> dict[str, SanityRow]:
    return {row.check: row for row in sanity_table(grid)}


def test_air_wavelengths_are_found_out() -> None:
    row = rows_of(mislabelled(corner()))["Ca II 8542: minimum off its vacuum wavelength, nm"]
    assert len(row.unexplained) == row.judged == 54
    assert row.worst == pytest.approx(-0.2347, abs=0.01)


def test_a_swapped_axis_is_found_out() -> None:
    grid = corner()
    grid["flux_normalized"] = grid["flux_normalized"].copy(
        data=grid["flux_normalized"].values[:, :, ::-1]
    )
    rows = rows_of(grid)
    row = rows["width of Ca II, a step up in [M/H], ≥ 4000 K"]
    assert len(row.unexplained) == row.judged == 36


def test_fluxes_that_no_continuum_has_are_found_out() -> None:
    grid = corner()
    grid["flux_normalized"].values[1, 2, 0, 1, 5000] = 1.2
    grid["flux_normalized"].values[0, 0, 0, 0, 5000] = -0.1
    grid["continuum"].values[1, 1] *= 4
    rows = rows_of(grid)
    assert places(rows["flux: highest, own resolution"]) == {(4750, 3, -1, 0.25)}
    assert places(rows["flux: lowest, own resolution"]) == {(4500, 1, -1, 0)}
    assert len(rows["continuum at 800 nm / black body, ≥ 3900 K"].unexplained) == 9


def test_a_hole_is_not_judged_and_spoils_no_other_node() -> None:
    grid = corner()
    whole = measure_nodes(grid)
    grid["present"].values[0, 1, 1, 1] = False
    grid["flux_normalized"].values[0, 1, 1, 1] = np.nan
    grid["continuum"].values[0, 1, 1, 1] = np.nan
    holed = measure_nodes(grid)
    there = grid["present"].values
    assert not np.isfinite(holed["mean"].values[~there]).any()
    assert np.array_equal(holed["mean"].values[there], whole["mean"].values[there])
    rows = rows_of(grid)
    assert rows["flux: highest, own resolution"].judged == 53
    assert rows["continuum at 800 nm / black body, ≥ 3900 K"].judged == 53
    assert not np.isfinite(measure_between(grid, "logg", (1.5,))["mean"].values[0, 0, 1, 1])


def test_what_a_grid_does_not_have_is_not_judged() -> None:
    grid = corner()
    window = (grid["wavelength_model"] > 840) & (grid["wavelength_model"] < 900)
    rows = rows_of(grid.sel(wavelength_model=window))
    assert rows["depth of Ca II 8662 - 8498"].judged == 54
    assert rows["TiO 7126 step, ≥ 4500 K"].judged == 0
    assert rows["TiO 7126 step, ≥ 4500 K"].worst is None
    assert rows["depth of Na I, log g 4.5 / 2.5, 4000-5000 K, [M/H] ≥ -1"].judged == 0
    assert rows["stars: mean flux 691-909 nm, off by"].judged == 0


def test_values_at_nodes_are_those_of_the_nodes() -> None:
    grid = corner()
    nodes, between = measure_nodes(grid), measure_between(grid, "alpha", (0.0, 0.25))
    picked = nodes["depth"].sel(alpha=[0.0, 0.25]).transpose(*between["depth"].dims)
    np.testing.assert_allclose(between["depth"], picked, atol=1e-6)


def test_a_row_counts_what_lies_strictly_inside_and_names_the_rest() -> None:
    values = xr.DataArray([0.5, 0.0, np.nan, 2.0], {"teff": [1.0, 2.0, 3.0, 4.0]}, ["teff"])
    row = judge("x", values, 0.0, 1.0, Known("hot", lambda at: at.teff > 3))
    assert (row.judged, row.worst) == (3, 2.0)
    assert row.failed == [{"teff": 2.0}, {"teff": 4.0}]
    assert row.unexplained == [{"teff": 2.0}]
    assert judge("x", values, None, 3.0).failed == []


def gaussian_line(centre: float, depth: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    wavelength = np.arange(840.0, 880.0, 0.01)
    return wavelength, 1 - depth * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)


def test_depth_and_width_of_a_gaussian_line_are_its_own() -> None:
    centre = LINES["Ca II 8542"]
    wavelength, flux = gaussian_line(centre, 0.6, 0.1)
    assert line_depth(flux, wavelength, "Ca II 8542") == pytest.approx(0.6, abs=1e-3)
    width = equivalent_width(flux, wavelength, centre)  # against a continuum of one
    assert width == pytest.approx(10 * 0.6 * 0.1 * np.sqrt(2 * np.pi), rel=1e-3)


@pytest.mark.parametrize(
    ("away", "is_core", "is_inside"),
    [(0.0, True, True), (0.048, True, True), (0.053, False, True), (0.98, False, True),
     (1.02, False, False), (1.98, False, False)],
)  # fmt: skip
def test_a_line_s_core_and_width_end_where_they_are_said_to(
    away: float, is_core: bool, is_inside: bool
) -> None:
    centre = LINES["Ca II 8542"]
    for side in (-1, 1):
        wavelength = centre + np.arange(-3000, 3001) / 1000
        flux = np.ones(len(wavelength))
        flux[3000 + side * round(1000 * away)] = 0.5
        assert line_depth(flux, wavelength, "Ca II 8542") == pytest.approx(0.5 * is_core)
        width = equivalent_width(flux, wavelength, centre)
        assert width == pytest.approx(10 * 0.5 * 0.001 * is_inside, abs=1e-9)


@pytest.mark.parametrize(("bright_from", "level"), [(2.005, 1.0), (1.85, 5.0)])
def test_a_width_is_against_the_brightest_within_two_nanometres(
    bright_from: float, level: float
) -> None:
    centre = LINES["Ca II 8542"]
    wavelength = centre + np.arange(-300, 301) / 100
    flux = np.where(np.abs(wavelength - centre) > bright_from, 5.0, 1.0)
    seen = 1.98  # from the first pixel nearer than 1 nm to the last
    expected = pytest.approx(10 * seen * (1 - 1 / level), rel=1e-6)
    assert equivalent_width(flux, wavelength, centre) == expected


def test_bands_are_ratios_of_the_fluxes_in_and_out_of_them() -> None:
    wavelength = np.arange(690.0, 910.0, 0.01)
    flux = np.where((wavelength > 712.5) & (wavelength < 714.0), 0.4, 0.8)
    found = features(flux, wavelength)
    assert found["tio_step"] == pytest.approx(0.5)
    assert found["cn_band"] == pytest.approx(0.8)
    assert found["lowest_top"] == pytest.approx(0.8)


def test_a_black_body_radiates_the_stefan_boltzmann_flux() -> None:
    wavelength = np.geomspace(50.0, 1e6, 20_000)  # nm
    total = np.trapezoid(black_body_flux(wavelength, 4000.0), 10 * wavelength)
    assert total == pytest.approx(Stefan_Boltzmann * 4000.0**4 * 1e3, rel=1e-4)  # W m-2 → cgs
