"""A person's own stars: each is what it is, whoever else is in the table, out to every bound."""

import numpy as np
import pytest
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.instrument import load_instrument
from simlib.parameters import as_table
from simlib.simulation.targets import _made_from, simulate_targets
from simlib.stellar.grid import open_grid

RESULTS = ("flux", "variance", "flux_scale", "snr")
TOY = ["stellar.grid=toy", "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]",
       "stellar.feh=[-1, 0]", "stellar.alpha=[0, 0.25]"]  # fmt: skip
REDSHIFTS = (-0.01, -0.0052, -0.003, 0.0, 0.0021, 0.003, 0.0071, 0.01)
REDDENINGS = (0.0, 0.07, 0.3, 1.1, 2.6, 4.2, 5.0)
ROWS = len(REDSHIFTS) * len(REDDENINGS)


@pytest.fixture(scope="module")
def config() -> SimulationConfig:
    return load_config("tiny", TOY)


@pytest.fixture(scope="module")
def targets() -> xr.Dataset:
    """Return stars at every redshift and reddening, all else at random, all columns given."""
    rng = np.random.default_rng(11)
    ranges = {
        "teff": (4000.0, 4500.0), "logg": (1.0, 3.0), "feh": (-1.0, 0.0), "alpha": (0.0, 0.25),
        "magnitude": (18.0, 22.0), "seeing": (0.5, 1.4), "zenith_angle": (0.0, 60.0),
        "field_angle": (0.0, 0.65), "moon_zenith_angle": (30.0, 120.0),
        "moon_target_angle": (20.0, 120.0), "moon_phase": (0.0, 0.5),
        "exposure_time_s": (100.0, 1800.0), "fiber_offset_arcsec": (0.0, 0.6),
        "r_eff_arcsec": (0.0, 1.0),
    }  # fmt: skip
    columns = {name: rng.uniform(*limits, ROWS) for name, limits in ranges.items()}
    columns["redshift"], columns["ebv"] = (
        each.ravel() for each in np.meshgrid(REDSHIFTS, REDDENINGS, indexing="ij")
    )
    columns["exposure_count"] = rng.integers(1, 30, ROWS).astype(float)
    columns["fiber_offset_arcsec"][::2] = 0.0
    columns["r_eff_arcsec"][::3] = 0.0
    columns["interpolated_axis"] = np.full(ROWS, -1, dtype=np.int8)
    return as_table(columns, np.arange(ROWS))


@pytest.fixture(scope="module")
def whole(targets: xr.Dataset, config: SimulationConfig) -> xr.Dataset:
    return simulate_targets(targets, config)


def some_rows() -> list[object]:
    rng = np.random.default_rng(5)
    chosen = [rng.permutation(ROWS)[: rng.integers(1, 12)] for _ in range(6)]
    return [[0], [ROWS - 1], slice(None, None, -1), slice(1, None, 9), *chosen]


@pytest.mark.parametrize("rows", some_rows(), ids=str)
def test_any_subset_in_any_order_has_the_same_bits(
    rows: object, targets: xr.Dataset, whole: xr.Dataset, config: SimulationConfig
) -> None:
    found = simulate_targets(targets.isel(spectrum=rows), config)
    expected = whole.isel(spectrum=rows)
    for name in RESULTS:
        assert np.array_equal(found[name].values, expected[name].values), name
    assert np.array_equal(found["spectrum"].values, expected["spectrum"].values)


@pytest.mark.slow  # within them: test_paths.py
def test_stars_out_to_every_bound_are_those_of_the_reference(
    targets: xr.Dataset, whole: xr.Dataset, config: SimulationConfig
) -> None:
    few = {"spectrum": [0, len(REDDENINGS) - 1, *range(2, ROWS, 4), ROWS - 1]}  # the corners too
    plain = simulate_targets(targets.isel(few), config, "reference")
    assert (plain["flux"].dtype, whole["flux"].dtype) == (np.float64, np.float32)
    off = {n: np.abs(whole[n].isel(few).values / plain[n].values - 1.0).max() for n in RESULTS}
    assert off["flux"] < 1e-5 and off["variance"] < 2e-5, off
    assert off["flux_scale"] < 2e-6 and off["snr"] < 5e-6, off


def test_a_star_is_the_same_whatever_ranges_the_config_draws_reddening_from(
    targets: xr.Dataset, whole: xr.Dataset
) -> None:
    wider = load_config("tiny", [*TOY, "stellar.ebv=[0, 2]"])
    found = simulate_targets(targets.isel(spectrum=slice(20, 30)), wider)
    assert np.array_equal(found["flux"].values, whole["flux"].values[20:30])


def test_the_fingerprint_is_of_the_rows_whose_noise_it_is(
    targets: xr.Dataset, config: SimulationConfig
) -> None:
    grid, instrument = open_grid("toy"), load_instrument(config.instrument.name)
    later = targets.assign_coords(spectrum=targets["spectrum"] + 1)
    made = [_made_from(one, config, grid, instrument) for one in (targets, later, targets)]
    found = [one["fingerprint"] for one in made]
    assert found[0] == found[2] != found[1]
