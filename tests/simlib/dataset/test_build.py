"""A built dataset: contract, provenance, and values that no way of computing them changes."""

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from simlib.config import SimulationConfig, load_config
from simlib.dataset import build
from simlib.dataset.layout import ROW_VARIABLES
from simlib.dataset.open import open_dataset
from simlib.dataset.places import arrays_in
from simlib.dataset.plan import Block
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import Recipe
from simlib.dataset.store import records_of
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from simlib.provenance import arithmetic
from simlib.stellar import open_grid

BRIGHT = ("dataset.n_test=8", "normalize.median=0.9")  # some pixels are above 1


def config_at(root: Path, *overrides: str) -> SimulationConfig:
    return load_config("tiny", [f"storage.root='{root}'", *overrides])


@pytest.fixture(scope="module")
def client() -> Any:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def built(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Location:
    config = config_at(tmp_path_factory.mktemp("built"), *BRIGHT)
    return build.build_dataset(config, ensure_terms_grid(config), client)


def test_every_variable_of_the_contract_is_there_with_units(built: Location) -> None:
    for split, rows in (("train", 96), ("validation", 48), ("test", 8)):
        data = xr.open_zarr(str(arrays_in(built)), group=split)
        assert dict(data.sizes) == {"spectrum": rows, "wavelength": 4096}
        for name in ("flux", "variance", *ROW_VARIABLES):
            assert np.isfinite(data[name].values).all()
            assert "units" in data[name].attrs or "flag_values" in data[name].attrs
        assert data["wavelength"].attrs == {
            "units": "nm", "medium": "vacuum", "long_name": "pixel centre",
        }  # fmt: skip


def test_stored_rows_obey_their_definitions(built: Location) -> None:
    data = open_dataset(built, "train")
    flux, variance = data["flux"].values.astype(float), data["variance"].values.astype(float)
    assert np.abs(np.median(flux, axis=1) - 0.9).max() < 1e-6
    assert np.all(flux > 0) and np.all(variance > 0)
    snr = np.median(flux / np.sqrt(variance), axis=1)
    assert np.allclose(snr, data["snr"].values, rtol=1e-5)
    assert 1 < np.median(snr) < 100


def test_a_build_of_what_is_complete_clears_what_a_killed_one_left(
    built: Location, client: Client
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait(60)
    left = Path(built.path) / f".manifest.json.{platform.node()}.{ended.pid}.1.writing"
    left.write_bytes(b"{")
    config = config_at(Path(built.path).parents[2], *BRIGHT)
    assert build.build_dataset(config, ensure_terms_grid(config), client) == built
    assert not left.exists()


def test_fainter_stars_have_lower_snr(built: Location) -> None:
    data = open_dataset(built, "train")
    order = np.corrcoef(data["magnitude"].values, np.log(data["snr"].values))[0, 1]
    assert order < -0.9


def test_splits_share_no_row(built: Location) -> None:
    train, other = open_dataset(built, "train"), open_dataset(built, "validation")
    assert not np.isin(train["redshift"].values, other["redshift"].values).any()


def test_the_manifest_tells_where_it_came_from(built: Location) -> None:
    folder, manifest = published_dataset(built.parent)  # as `latest.json` says
    assert folder == built
    assert manifest.fingerprint == built.name
    assert manifest.provenance["versions"]["numpy"] == np.__version__
    assert manifest.provenance["cores"] == len(os.sched_getaffinity(0))
    assert manifest.stellar_grid["checksum"] == open_grid("default").attrs["checksum"]
    assert manifest.arithmetic == (arithmetic(),)
    assert manifest.seconds > 0


def counted(rows: xr.Dataset) -> tuple[int, int]:
    """Return rows whose moon no sky has, and pixels above 1, counted here."""
    target, moon, apart = (
        np.radians(rows[name].values.astype(float))
        for name in ("zenith_angle", "moon_zenith_angle", "moon_target_angle")
    )
    # The cosine of the azimuth between them, by the spherical law of cosines.
    azimuth = (np.cos(apart) - np.cos(target) * np.cos(moon)) / (np.sin(target) * np.sin(moon))
    return int((np.abs(azimuth) > 1.0).sum()), int((rows["flux"].values > 1.0).sum())


def test_what_the_manifest_and_the_records_count_is_what_the_store_holds(built: Location) -> None:
    _, manifest = published_dataset(built)
    records = records_of(built, manifest.plan)
    totals = np.zeros(3)
    for split, size in (("train", 96), ("validation", 48), ("test", 8)):
        whole = xr.open_zarr(str(arrays_in(built)), group=split, chunks=None).load()
        assert manifest.plan.rows[split] == whole.sizes["spectrum"] == size
        for start in range(0, size, 32):
            record = records[f"{split}-{start:08d}"]
            assert (record.split, record.start) == (split, start)
            rows = whole.isel(spectrum=slice(start, record.stop))
            assert rows.sizes["spectrum"] == min(32, size - start)
            found = counted(rows)
            assert (record.impossible_geometries, record.pixels_above_one) == found
            files = arrays_in(built).path
            assert record.sizes == {name: (files / name).stat().st_size for name in record.sizes}
            assert record.host == socket.gethostname()
            assert record.seconds_computing > 0 and record.seconds_writing > 0
            totals += (rows.sizes["spectrum"], *found)
    assert len(records) == 6
    assert manifest.blocks is not None
    assert totals.all()
    assert [
        manifest.rows,
        manifest.rows * manifest.blocks.fraction_impossible_geometries,
        manifest.blocks.pixels_above_one,
    ] == pytest.approx(totals)
    spent = sum(one.seconds_computing + one.seconds_writing for one in records.values())
    assert manifest.blocks.core_seconds == pytest.approx(spent, abs=1e-3)
    usual = (
        manifest.rows
        * 2
        * 4
        * xr.open_zarr(str(arrays_in(built)), group="train").sizes["wavelength"]
    )
    assert 0.5 * usual < manifest.blocks.planned_bytes < usual
    assert 0.5 < manifest.blocks.planned_bytes / manifest.blocks.bytes < 2
    assert 0 < manifest.blocks.planned_core_seconds < 1


def test_block_size_and_order_change_no_value(
    built: Location, tmp_path: Path, client: Client
) -> None:
    config = config_at(tmp_path, *BRIGHT, "dataset.block=48", "dataset.chunk=48")
    other = build.build_dataset(config, ensure_terms_grid(config), client)
    assert other.name == built.name  # the same fingerprint
    for split in ("train", "validation", "test"):
        assert open_dataset(built, split).load().identical(open_dataset(other, split).load())


def test_terms_from_the_grid_and_direct_agree_within_the_tolerance(tmp_path: Path) -> None:
    config, direct = config_at(tmp_path), config_at(tmp_path, "terms.source=direct")
    terms, rows = ensure_terms_grid(config), Block("validation", 0, 40)
    stored, exact = Recipe(config, terms).rows(rows), Recipe(direct, terms).rows(rows)
    assert np.array_equal(stored["flux"].values, exact["flux"].values)
    ratio = stored["variance"].values / exact["variance"].values
    assert np.abs(ratio - 1.0).max() < config.terms.tolerance
