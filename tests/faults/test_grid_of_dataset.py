"""A stellar grid that is behind a URL, or is replaced: what datasets make of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem

from simlib.config import SimulationConfig, load_config
from simlib.dataset import build
from simlib.dataset.open import open_dataset
from simlib.dataset.plan import Block, Plan
from simlib.dataset.publish import published, published_dataset
from simlib.dataset.rows import Recipe
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import draw_parameters
from simlib.simulation.targets import simulate_targets
from simlib.stellar import open_grid
from simlib.stellar.store import write_grid

OVERRIDES = (
    "terms.source=direct",
    "dataset.n_train=8",
    "dataset.n_validation=8",
    "dataset.block=8",
    "dataset.chunk=8",
)
URL = "lane://bucket/grids/toy.zarr"


class Lane(MemoryFileSystem):
    """Files in memory that open only with the right option."""

    protocol = "lane"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False

    def __init__(self, side: str = "", **settings: object) -> None:
        if side != "left":
            raise ValueError("wrong side")
        super().__init__(**settings)


@pytest.fixture
def lane() -> Iterator[None]:
    fsspec.register_implementation("lane", Lane, clobber=True)
    Lane.store.clear()
    write_grid(Location.of(URL, {"side": "left"}), open_grid("toy"))
    yield
    Lane.store.clear()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


def config_at(root: Path, grid: str, *more: str) -> SimulationConfig:
    return load_config("tiny", [f"storage.root='{root}'", f"stellar.grid='{grid}'", *OVERRIDES,
                                *more])  # fmt: skip


def test_build_and_simulate_take_the_grid_with_the_options_of_the_storage(
    lane: None, client: Client, tmp_path: Path
) -> None:
    config = config_at(tmp_path, URL, "storage.options={side='left'}")
    folder, manifest = published_dataset(build.build_dataset(config, "terms", client))
    assert published(config) == folder
    toy = open_grid("toy")
    assert manifest.stellar_grid["checksum"] == toy.attrs["checksum"]
    targets = draw_parameters(config, toy, "train", 0, 3)
    at_url, here = (
        simulate_targets(targets, config_at(tmp_path, grid, *more))
        for grid, more in ((URL, ["storage.options={side='left'}"]), ("toy", []))
    )
    np.testing.assert_array_equal(at_url["flux"].values, here["flux"].values)


@pytest.mark.parametrize("verb", ["build", "simulate"])
def test_without_the_options_it_is_told(
    verb: str, lane: None, client: Client, tmp_path: Path
) -> None:
    config = config_at(tmp_path, URL)
    targets = draw_parameters(config, open_grid("toy"), "train", 0, 3)
    with pytest.raises(InputError, match=r"cannot open lane://bucket/grids/.*wrong side"):
        if verb == "build":
            build.build_dataset(config, "terms", client)
        else:
            simulate_targets(targets, config)


def test_a_grid_that_is_replaced_while_a_dataset_is_built_stops_the_build(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other, toy = tmp_path / "grid.zarr", tmp_path / "other.zarr", open_grid("toy")
    write_grid(store, toy)
    write_grid(other, toy.assign(flux_normalized=toy["flux_normalized"] ** 2))
    config = config_at(tmp_path, str(store), "dataset.n_train=24")
    simulate_block = build.simulate_block

    def after_replacing(recipe: Recipe, folder: Location, plan: Plan, block: Block, *more: None):
        if block == Block("train", 8, 16) and other.exists():
            store.rename(tmp_path / "old.zarr")
            other.rename(store)
        return simulate_block(recipe, folder, plan, block, *more)

    monkeypatch.setattr(build, "simulate_block", after_replacing)
    with pytest.raises(InputError, match=r"was replaced while .* was built; run the command again"):
        build.build_dataset(config, "terms", client)
    folder = build.build_dataset(config, "terms", client)
    assert published(config) == folder
    whole = config_at(tmp_path / "whole", str(store), "dataset.n_train=24")
    wanted = open_dataset(build.build_dataset(whole, "terms", client))
    np.testing.assert_array_equal(open_dataset(folder)["flux"], wanted["flux"])
