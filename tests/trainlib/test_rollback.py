"""To go back is one record; once more goes one further back."""

import shutil
from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.made import make_plan, make_published
from tests.trainlib.test_release import NAME, trained
from trainlib.release import numbers_of, read_release, release
from trainlib.rollback import roll_back


def released(root: Path, *runs: str) -> Location:
    """Release a dataset with a run of each name, in order."""
    place = Location.of(root)
    make_published(place / "datasets/d", make_plan())
    for run in runs:
        directory = root / "runs" / run
        made = Location.of(directory) if directory.exists() else trained(directory)
        release(place, NAME, place / "datasets/d", made)
    return place


def run_of(root: Location) -> str:
    found = read_release(root, NAME)
    assert found is not None and found.run is not None
    return found.run.place.rpartition("/")[2]


def test_each_step_goes_one_further_back_and_no_record_is_changed(tmp_path: Path) -> None:
    root = released(tmp_path, "a", "b", "c")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "releases" / NAME).iterdir()}
    assert roll_back(root, NAME).number == 4 and run_of(root) == "b"
    assert roll_back(root, NAME).number == 5 and run_of(root) == "a"
    with pytest.raises(InputError, match="before release 1 of 'pfs-red', which holds"):
        roll_back(root, NAME)
    assert numbers_of(root, NAME) == [1, 2, 3, 4, 5]
    for name, data in kept.items():
        assert (tmp_path / "releases" / NAME / name).read_bytes() == data


def test_what_was_released_after_going_back_is_gone_back_from(tmp_path: Path) -> None:
    root = released(tmp_path, "a", "b")
    roll_back(root, NAME)
    release(root, NAME, root / "datasets/d", trained(tmp_path / "runs/c"))
    roll_back(root, NAME)
    assert run_of(root) == "a"


def test_there_is_no_way_back_to_what_is_gone(tmp_path: Path) -> None:
    root = Location.of(tmp_path)
    with pytest.raises(InputError, match="nothing of the name 'pfs-red' is released"):
        roll_back(root, NAME)
    released(tmp_path, "a", "b")
    shutil.rmtree(tmp_path / "runs/a")
    with pytest.raises(InputError, match="is no run directory"):
        roll_back(root, NAME)
    assert run_of(root) == "b" and numbers_of(root, NAME) == [1, 2]


def test_a_release_without_a_run_is_gone_back_to_as_well(tmp_path: Path) -> None:
    root = Location.of(tmp_path)
    make_published(root / "datasets/d", make_plan())
    bundle = (root / "bundles/b", "b" * 16)
    release(root, NAME, root / "datasets/d", None, bundle)
    released(tmp_path, "a")
    found = roll_back(root, NAME)
    assert found.run is None and found.bundle is not None and found.bundle.fingerprint == bundle[1]
