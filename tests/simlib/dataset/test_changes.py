"""What is to be made again of a dataset, and for which of its inputs."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from simlib.config import SimulationConfig
from simlib.dataset.build import build_dataset
from simlib.dataset.changes import Due, changes_between, dataset_due, terms_due
from simlib.dataset.publish import folder_of
from simlib.etc.grid.store import ensure_terms_grid
from simlib.stellar import open_grid
from simlib.stellar.store import write_grid
from tests.faults.fuzz.store_kinds import few_terms
from tests.simlib.dataset.test_identity import KEEPING, SHAPING
from tests.simlib.dataset.toy_build import here, toy_config
from tests.simlib.etc.made import write_sky_tables

SMALL = ["dataset.n_train=20", "dataset.n_validation=5", "dataset.block=8", "dataset.chunk=4",
         "terms.tolerance=9"]  # fmt: skip
# Where another value would need another grid of stars, or moves more than itself.
OTHERWISE = {"terms.convention", "terms.quadrature", "stellar.grid"}


def config_at(root: Path, *overrides: str) -> SimulationConfig:
    return toy_config(root, *SMALL, *few_terms(root), *overrides)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with the toy's dataset on a stellar grid of its own."""
    root = tmp_path_factory.mktemp("whole")
    write_grid(str(root / "mine.zarr"), open_grid("toy"))
    config = config_at(root, f"stellar.grid={root}/mine.zarr")
    with here() as client:
        build_dataset(config, ensure_terms_grid(config), client)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "root"))


def due(root: Path, *overrides: str) -> Due:
    return dataset_due(config_at(root, f"stellar.grid={root}/mine.zarr", *overrides))


def test_nothing_is_due_of_what_is_published(root: Path) -> None:
    for found in (due(root), terms_due(config_at(root))):
        assert not found.is_due and found.changes == () and found.seconds is None
    for overrides in KEEPING.values():
        if not overrides[0].startswith(("storage.root", "dataset.name")):
            assert not due(root, *overrides).is_due


def test_a_store_that_is_cut_otherwise_than_asked_keeps_its_plan_and_says_so(root: Path) -> None:
    assert due(root).reason == "is complete and published"
    told = due(root, "dataset.chunk=2", "storage.codec=zstd").reason
    chunk = config_at(root).dataset.chunk
    assert told == (
        f"is complete and published; it keeps its own plan: dataset.chunk = {chunk} (asked: 2, "
        "which only a new dataset would have), storage.codec = lz4 (asked: zstd, which only a new "
        "dataset would have)"
    )


@pytest.mark.parametrize("leaf", sorted({*SHAPING} - OTHERWISE))
def test_the_input_that_moved_is_named_with_both_values(
    leaf: str, whole: Path, tmp_path: Path
) -> None:
    tables = str(write_sky_tables(tmp_path))
    moved = due(whole, *(text.replace("TABLES", tables) for text in SHAPING[leaf]))
    assert moved.is_due and "another one is published" in moved.reason
    content = {"stellar.band": "content of stellar.band", "sky.tables": "content of sky",
               "instrument.name": "content of instrument.name"}  # fmt: skip
    named = {change.name: change for change in moved.changes}
    name = content.get(leaf, leaf)
    assert name in named
    old, new = named[name].old, named[name].new
    assert old != new and None not in (old, new)
    known = config_at(whole).leaves(leaf.partition(".")[0])
    if name == leaf and leaf in known and not leaf.startswith("stellar."):
        assert _plain(old) == _plain(known[leaf])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_a_replaced_stellar_grid_is_the_only_change(root: Path) -> None:
    shutil.rmtree(root / "mine.zarr")
    other = open_grid("toy")
    other["flux_normalized"] = other["flux_normalized"] * 0.999
    write_grid(str(root / "mine.zarr"), other)
    found = due(root)
    assert found.is_due
    assert [(c.section, c.name) for c in found.changes] == [
        ("stellar grid", "content of stellar.grid")
    ]


def test_the_time_is_in_proportion_to_the_rows(root: Path) -> None:
    some, more = due(root, "dataset.seed=5"), due(root, "dataset.n_train=45")
    assert some.seconds is not None and some.seconds > 0
    assert more.seconds == pytest.approx(2 * some.seconds)


def test_what_was_begun_or_lost_is_told_by_blocks(root: Path) -> None:
    folder = folder_of(config_at(root, f"stellar.grid={root}/mine.zarr")).path
    (folder / "spectra.zarr/train/flux/c/1/0").unlink()
    lost = due(root)
    assert lost.is_due and lost.changes == ()
    assert "files are missing or of another size (1 blocks)" in lost.reason
    (folder / "manifest.json").unlink()
    assert due(root).reason == "was begun: 3 of 4 blocks are done"
    (folder.parent / "latest.json").unlink()
    shutil.rmtree(folder)
    assert due(root).reason == "none of this name is published" and due(root).seconds is None


def test_a_version_that_was_replaced_is_complete_but_not_the_latest(root: Path) -> None:
    other = config_at(root, f"stellar.grid={root}/mine.zarr", "dataset.seed=5")
    with here() as client:
        build_dataset(other, ensure_terms_grid(other), client)
    found = due(root)
    assert found.is_due and "is complete, but another version is published" in found.reason
    assert [change.name for change in found.changes] == ["dataset.seed"]
    assert found.seconds == 0.0


def test_changes_are_found_on_both_sides() -> None:
    old: dict[str, dict[str, Any]] = {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    new: dict[str, dict[str, Any]] = {"a": {"x": 1, "y": 5}, "c": {"w": 4}}
    found = [(c.section, c.name, c.old, c.new) for c in changes_between(old, new)]
    assert found == [("a", "y", 2, 5), ("b", "z", 3, None), ("c", "w", None, 4)]
