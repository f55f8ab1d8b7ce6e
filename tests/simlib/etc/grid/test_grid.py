"""The grid of terms: small, exact enough, the same row by row, published whole or not at all."""

import json
import threading

import numpy as np
import pytest
import xarray as xr

from simlib.config import SimulationConfig, Storage, Terms
from simlib.errors import InputError
from simlib.etc.grid.build import build_terms_grid, terms_fingerprint
from simlib.etc.grid.check import check_terms_grid, random_conditions
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.grid.store import (
    ensure_terms_grid,
    open_terms_grid,
    publish_terms_grid,
    terms_folder,
)
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from simlib.location import Location
from tests.simlib.etc.made import conditions


@pytest.fixture(scope="module")
def config() -> SimulationConfig:
    return SimulationConfig()


@pytest.fixture(scope="module")
def grid(config) -> xr.Dataset:
    return build_terms_grid(config)


def test_the_default_grid_is_small_and_within_its_tolerance(grid, config):
    check = check_terms_grid(grid, config, rows=2048)
    assert check.rows == 2048 + 64  # and every corner of the six ranges
    assert check.is_good
    assert check.worst[1] < 0.0015  # 0.10 % when this was written; 0.5 % is allowed
    assert grid.nbytes < 20e6


@pytest.mark.parametrize("convention", ["modified", "upstream"])
def test_a_grid_of_any_convention_is_within_its_tolerance(convention):
    config = SimulationConfig(terms=Terms(convention=convention, quadrature="reference"))
    assert check_terms_grid(build_terms_grid(config), config, rows=64).is_good


def test_interpolated_terms_have_the_names_and_dims_of_direct_ones(grid, config):
    at = conditions(seeing=[0.7, 0.9])
    direct = run_etc(at, load_instrument(config.instrument.name), load_sky(config.sky))
    found = interpolate_terms(grid, at)
    assert set(found.variables) == set(direct.variables)
    for name in direct.data_vars:
        assert found[name].dims == direct[name].dims, name
        assert found[name].attrs == direct[name].attrs, name


@pytest.mark.parametrize("way", ["grid", "direct"])
def test_a_row_does_not_depend_on_the_rows_beside(grid, config, way):
    at = random_conditions(config, rows=37, seed=3)

    def terms(some: xr.Dataset) -> xr.Dataset:
        if way == "grid":
            return interpolate_terms(grid, some)
        return run_etc(some, load_instrument(config.instrument.name), load_sky(config.sky))

    together = terms(at)
    for row in (0, 5, 63, 100):
        alone = terms(at.isel(condition=[row]))
        for name in ("conversion_e", "sky_continuum_e", "sky_lines_e", "moon_e", "stray_e"):
            np.testing.assert_array_equal(alone[name][0], together[name][row])


def test_the_rows_keep_the_dimension_that_they_came_with(grid):
    terms = interpolate_terms(grid, conditions().rename(condition="spectrum"))
    assert terms.conversion_e.dims == ("spectrum", "wavelength")


def test_the_grid_refuses_what_it_has_no_axis_for(grid):
    with pytest.raises(InputError, match="no fiber_offset_arcsec; compute the terms directly"):
        interpolate_terms(grid, conditions(fiber_offset_arcsec=0.1))


def test_moon_set_is_exactly_dark_and_moon_rising_has_its_limit(grid):
    light = interpolate_terms(grid, conditions(moon_zenith_angle=[89.999, 90.0])).moon_e
    below = run_etc(
        conditions(moon_zenith_angle=89.999),
        load_instrument("pfs-redmr-2016-02-29"),
        load_sky(SimulationConfig().sky),
    ).moon_e
    np.testing.assert_allclose(light[0], below[0], rtol=1e-3)
    assert np.all(light[1] == 0)


@pytest.fixture
def published(tmp_path, config) -> tuple[Location, SimulationConfig]:
    stored = config.model_copy(
        update={"storage": config.storage.model_copy(update={"root": str(tmp_path)})}
    )
    return ensure_terms_grid(stored), stored


def test_a_published_grid_opens_as_it_was_built(published, grid):
    place, config = published
    assert place == terms_folder(config)
    assert place.name == terms_fingerprint(config)
    opened = open_terms_grid(place)
    xr.testing.assert_identical(opened.drop_attrs(), grid.drop_attrs())
    at = conditions(zenith_angle=[3.0, 33.0])
    xr.testing.assert_identical(interpolate_terms(opened, at), interpolate_terms(grid, at))


def test_a_published_grid_is_not_built_again(published):
    place, config = published
    manifest = (place / "manifest.json").path
    before = manifest.stat().st_mtime_ns
    assert ensure_terms_grid(config) == place
    assert manifest.stat().st_mtime_ns == before
    assert json.loads(manifest.read_text())["interpolation"]["is_good"]


def test_a_store_without_manifest_does_not_exist_and_is_made_anew(published):
    place, config = published
    (place / "manifest.json").remove()
    with pytest.raises(InputError, match="no terms grid is published"):
        open_terms_grid(place)
    assert open_terms_grid(ensure_terms_grid(config)).attrs["fingerprint"]


@pytest.mark.slow  # of a few files: tests/faults/test_damage.py
def test_no_flipped_bit_is_read_without_a_word_and_the_advice_helps(published):
    place, config = published
    whole = open_terms_grid(place)
    random = np.random.default_rng(9)
    files = sorted(path for path in place.path.rglob("*") if path.is_file())
    told = 0
    for number in range(60):
        path = files[number % len(files)]
        kept = path.read_bytes()
        flipped = bytearray(kept)
        flipped[random.integers(len(kept))] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            xr.testing.assert_identical(open_terms_grid(place), whole)  # e.g. a fill value unused
        except InputError as error:
            told += 1
            assert "run `specdenoise build CONFIG --repair`" in str(error)
        path.write_bytes(kept)
    assert told > 40
    for name in ("terms-*.zarr/wavelength/zarr.json", "manifest.json"):
        next(place.path.glob(name)).write_bytes(b"")
        xr.testing.assert_identical(open_terms_grid(ensure_terms_grid(config, True)), whole)


@pytest.mark.slow
def test_of_many_that_publish_at_once_one_is_taken_and_readers_are_not_disturbed(
    tmp_path, grid, config
):
    stored = config.model_copy(update={"storage": Storage(root=str(tmp_path))})
    start = threading.Barrier(6)
    opened: list[xr.Dataset] = []

    def publish_and_read() -> None:
        start.wait(10)
        place = publish_terms_grid(grid, stored)
        opened.extend(open_terms_grid(place) for _ in range(5))

    threads = [threading.Thread(target=publish_and_read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(opened) == 30
    assert all(one.equals(grid) for one in opened)
    assert len(list(terms_folder(stored).path.iterdir())) == 2  # one store, one manifest


def test_a_grid_of_one_point_still_answers_there(config):
    ranges = {"seeing": (0.8, 0.8), "zenith_angle": (30.0, 30.0), "moon_phase": (0.2, 0.2)}
    single = config.model_copy(update={"conditions": config.conditions.model_copy(update=ranges)})
    terms = interpolate_terms(build_terms_grid(single), conditions())
    direct = run_etc(conditions(), load_instrument(config.instrument.name), load_sky(config.sky))
    np.testing.assert_allclose(
        terms.conversion_e, direct.conversion_e, rtol=2e-4
    )  # the field angle lies between nodes


def test_opening_computes_no_task_of_dask(published, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a worker's task must not wait for its own scheduler")

    monkeypatch.setattr("dask.base.get_scheduler", refuse)
    place, _ = published
    assert open_terms_grid(place).sizes["wavelength"] > 1
