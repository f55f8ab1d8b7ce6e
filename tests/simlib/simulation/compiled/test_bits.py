"""The compiled path: a row's bits belong to the row; its numbers agree with the plain path."""

import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.fingerprint import checksum
from simlib.instrument import load_instrument
from simlib.parameters import draw_parameters
from simlib.simulation.compiled.median import two_middles
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

ROWS = 1000
RESULTS = ("flux", "variance", "flux_scale", "snr")
IN_A_PROCESS = (
    "from tests.simlib.simulation.compiled.test_bits import block_checksum as c; print(c({}, {}))"
)


@cache
def demo() -> tuple[SimulationConfig, xr.Dataset, xr.Dataset]:
    config = load_config("demo")
    return config, open_grid("default"), build_terms_grid(config)


def rows(start: int, stop: int) -> xr.Dataset:
    config, grid, terms = demo()
    return simulate(draw_parameters(config, grid, "train", start, stop), grid, terms, config)


def checksum_of(parts: list[xr.Dataset]) -> str:
    return checksum(*(np.concatenate([part[name].values for part in parts]) for name in RESULTS))


def block_checksum(start: int, stop: int) -> str:
    return checksum_of([rows(start, stop)])


@pytest.fixture(scope="module")
def whole() -> xr.Dataset:
    return rows(0, ROWS)


@pytest.mark.parametrize("block", [1, 7, 256])
def test_the_block_size_changes_no_bit(block: int, whole: xr.Dataset) -> None:
    """Blocks of one row are tried on the first forty, the others on all."""
    count = 40 if block == 1 else ROWS
    starts = range(0, count, block)
    parts = [rows(start, min(start + block, count)) for start in starts]
    assert checksum_of(parts) == checksum_of([whole.isel(spectrum=slice(0, count))])


def test_the_order_of_rows_changes_no_bit(whole: xr.Dataset) -> None:
    config, grid, terms = demo()
    order = np.random.default_rng(3).permutation(ROWS)
    shuffled = draw_parameters(config, grid, "train", 0, ROWS).isel(spectrum=order)
    found = simulate(shuffled, grid, terms, config)
    for name in RESULTS:
        assert np.array_equal(found[name].values, whole[name].values[order])


def test_no_rows_are_no_spectra() -> None:
    config, grid, terms = demo()
    none = draw_parameters(config, grid, "train", 0, 3).isel(spectrum=slice(0, 0))
    for source in (terms, load_instrument(config.instrument.name)):
        found = simulate(none, grid, source, config)
        assert found["flux"].shape == found["variance"].shape == (0, found.sizes["wavelength"])


@pytest.mark.slow  # workers of a cluster: test_kills.py, test_end_to_end.py
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_at_once_give_the_same_bits(processes: int, whole: xr.Dataset) -> None:
    edges = [part * ROWS // processes for part in range(processes + 1)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS.format(a, b)], stdout=subprocess.PIPE, text=True
        )
        for a, b in pairwise(edges)
    ]
    found = [process.communicate(timeout=200)[0].strip() for process in running]
    assert found == [checksum_of([whole.isel(spectrum=slice(a, b))]) for a, b in pairwise(edges)]


def test_compiled_variance_and_signal_to_noise_equal_the_reference() -> None:
    config, grid, terms = demo()
    stars = draw_parameters(config, grid, "validation", 0, 12)
    stars["moon_zenith_angle"][0] = 90.0  # the moon sets: zero from here on
    fast, slow = (simulate(stars, grid, terms, config, p) for p in ("compiled", "reference"))
    largest = {name: np.abs(fast[name].values / slow[name].values - 1.0).max() for name in RESULTS}
    bounds = {"flux": 1e-5, "variance": 2e-5, "flux_scale": 5e-6, "snr": 5e-6}
    assert all(largest[name] < bound for name, bound in bounds.items()), largest
    assert fast["flux"].dtype == np.float32 and slow["flux"].dtype == np.float64


def test_directly_computed_terms_agree_within_the_grid_s_tolerance() -> None:
    config, grid, terms = demo()
    stars = draw_parameters(config, grid, "train", 0, 4)
    direct = simulate(stars, grid, load_instrument(config.instrument.name), config)
    stored = simulate(stars, grid, terms, config)
    assert np.array_equal(direct["flux"].values, stored["flux"].values)
    off = np.abs(direct["variance"].values / stored["variance"].values - 1.0).max()
    assert 0.0 < off < config.terms.tolerance


def test_a_row_with_its_own_exposures_has_the_variance_of_its_stack() -> None:
    config, grid, terms = demo()
    quiet = config.model_copy(
        update={"noise": config.noise.model_copy(update={"sky_subtraction": 0.0})}
    )
    stars = draw_parameters(config, grid, "train", 0, 2).isel(spectrum=[0, 0])
    counts = stars.assign(exposure_count=("spectrum", np.array([5.0, 20.0])))
    for path in ("compiled", "reference"):
        variance = simulate(counts, grid, terms, quiet, path)["variance"].values
        assert np.allclose(variance[0], 4.0 * variance[1], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 4095, 4096])
def test_the_median_is_exact(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (
        rng.normal(size=count),
        rng.integers(-2, 3, count),
        np.full(count, -0.5),
        rng.normal(size=count) ** 9,
        rng.lognormal(0.0, 40.0, count).clip(1e-38, 3e38),
    ):
        single = np.asarray(values, dtype=np.float32)
        low, high = two_middles(single, np.empty(count, np.float32))
        ordered = np.sort(single)
        assert (low, high) == (ordered[(count - 1) // 2], ordered[count // 2])
