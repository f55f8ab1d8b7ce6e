"""A root that was moved is a root: nothing in it says where it was."""

import shutil
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
import xarray as xr
from fsspec.implementations.memory import MemoryFileSystem

from simlib.dataset import build as building
from simlib.dataset import rows
from simlib.dataset.endless import open_endless
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.replay import replay
from simlib.location import Location
from simlib.stellar import open_grid
from simlib.stellar.store import write_grid
from tests.simlib.dataset.toy_build import build, here, toy_config

SMALL = ("dataset.n_train=20", "dataset.n_validation=5")


def own_grid(root: Any) -> str:
    """Keep the toy grid below a root; return the setting that takes it."""
    return f"stellar.grid={root}/grids/toy.zarr"


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, xr.Dataset]:
    """Return where a root with grid, terms and dataset was moved to, and what it held."""
    old = tmp_path / "old"
    write_grid(str(old / "grids/toy.zarr"), open_grid("toy"))
    expected = open_dataset(build(old, *SMALL, own_grid(old))).load()
    new = tmp_path / "elsewhere/new"
    new.parent.mkdir()
    shutil.move(old, new)
    monkeypatch.setattr(rows, "build_terms_grid", None)  # those that are there are found
    return new, expected


def test_a_moved_dataset_is_read_computed_replayed_and_drawn_from(
    moved: tuple[Path, xr.Dataset],
) -> None:
    root, expected = moved
    place = root / "datasets/tiny"
    assert open_dataset(place).load().identical(expected)
    made = open_dataset(place, virtual=True).load()
    assert all(np.array_equal(made[name], expected[name]) for name in expected)
    endless = open_endless(place).spectra(np.arange(20))
    assert np.array_equal(endless["flux"], expected["flux"])
    assert float(replay(place, "train", 3)["flux_off_again"]) == 0.0


@pytest.mark.slow  # used there: above
def test_a_moved_dataset_is_complete_where_it_is_now(
    moved: tuple[Path, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = moved
    monkeypatch.setattr(building, "block_files", None)
    build(root, *SMALL, own_grid(root))


def test_no_record_says_where_the_root_is(moved: tuple[Path, xr.Dataset]) -> None:
    root, _ = moved
    for record in (root / "datasets").rglob("*.json"):
        assert str(root.parents[1]) not in record.read_text()


class Guarded(MemoryFileSystem):  # type: ignore[misc]
    """A file system that opens to those who know the door."""

    protocol = "guarded"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def __init__(self, *arguments: Any, door: str = "", **options: Any) -> None:
        if door != "left":
            raise PermissionError("this door is shut")
        super().__init__(*arguments, **options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return "/" + str(path).removeprefix("guarded://").strip("/")


fsspec.register_implementation("guarded", Guarded, clobber=True)


@pytest.mark.parametrize("root", ["remote", "local"])
def test_the_options_of_the_storage_open_the_stellar_grid(root: str, tmp_path: Path) -> None:
    options = {"door": "left"}
    place = Location.of(f"guarded://room/grids/for-{root}.zarr", options)
    write_grid(place, open_grid("toy"))
    config = toy_config(
        tmp_path if root == "local" else "guarded://room", *SMALL,
        f"stellar.grid={place}", "storage.options={door='left'}",
    )  # fmt: skip
    with here() as client:
        folder = building.build_dataset(config, tmp_path / "no-terms", client)
    given = Location.of(folder.url, options)
    assert published_dataset(given)[1].rows == 25
    made = open_dataset(given, virtual=True)["flux"].values
    assert np.array_equal(made, open_dataset(given)["flux"].values)
    assert "left" not in repr(open_dataset(given)["flux"].variable._data)
