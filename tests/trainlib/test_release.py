"""A release names a dataset, a run and a bundle in one record, and the last one holds."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simlib.artifact import write_record
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.made import IDENTITY, make_plan, make_published
from trainlib import release as releasing
from trainlib.in_use import both, datasets_in_use, released_datasets
from trainlib.release import numbers_of, read_release, release, releases_in
from trainlib.runs import MANIFEST, Origin, RunManifest, State

NAME = "pfs-red"


@pytest.fixture(params=["folder", "url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """Return a root with a published dataset."""
    url = request.param == "url"
    place = Location.of(f"memory://{tmp_path.name}/root" if url else tmp_path / "root")
    make_published(place / "datasets/d", make_plan())
    return place


def trained(place: Path, fingerprint: str = IDENTITY, is_finished: bool = True) -> Location:
    place.mkdir(parents=True)
    manifest = RunManifest(
        fingerprint="f" * 16, inputs={}, dataset=Origin(place="there", fingerprint=fingerprint),
        recipe="B", started="", provenance={}, outcome=State() if is_finished else None,
    )  # fmt: skip
    write_record(Location.of(place / MANIFEST), manifest)
    return Location.of(place)


def test_nothing_is_released_at_first(root: Location) -> None:
    assert read_release(root, NAME) is None and numbers_of(root, NAME) == []


def test_the_last_release_holds_and_each_before_is_kept(root: Location, tmp_path: Path) -> None:
    dataset, run = root / "datasets/d", trained(tmp_path / "run")
    first = release(root, NAME, dataset)
    assert (first.number, first.run, first.bundle) == (1, None, None)
    folder = releases_in(root, NAME).follow(first.dataset.place)
    assert folder == dataset / IDENTITY and first.dataset.fingerprint == IDENTITY
    second = release(root, NAME, dataset, run, (root / "bundles/b", "b" * 16))
    assert second.number == 2 and second.run is not None and second.bundle is not None
    assert second.run.fingerprint == "f" * 16 and second.bundle.fingerprint == "b" * 16
    assert read_release(root, NAME) == second and read_release(root, NAME, 1) == first
    assert read_release(root, NAME, 7) is None
    again = release(root, NAME, dataset)  # back to what held before
    assert again.number == 3 and again.dataset == first.dataset and again.run is None


def test_what_holds_is_not_released_again(root: Location) -> None:
    first = release(root, NAME, root / "datasets/d")
    assert release(root, NAME, root / "datasets/d") == first
    assert numbers_of(root, NAME) == [1]


def test_of_two_at_once_one_is_made_and_the_other_told(
    root: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path / "run")
    monkeypatch.setattr(releasing, "read_release", lambda *_: None)
    monkeypatch.setattr(releasing, "numbers_of", lambda *_: [])

    def one(with_run: bool) -> str:
        try:
            return str(release(root, NAME, root / "datasets/d", run if with_run else None).number)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(one, (True, False)))
    assert told[0] == "1"
    assert f"release 1 of {NAME!r} was made meanwhile, of dataset {IDENTITY}" in told[1]


def test_what_does_not_belong_together_is_refused(root: Location, tmp_path: Path) -> None:
    dataset = root / "datasets/d"
    with pytest.raises(InputError, match="trained on dataset aaaaaaaaaaaaaaaa, not on 0123"):
        release(root, NAME, dataset, trained(tmp_path / "other", "a" * 16))
    with pytest.raises(InputError, match="is not finished; train on"):
        release(root, NAME, dataset, trained(tmp_path / "begun", is_finished=False))
    with pytest.raises(InputError, match="no dataset at"):
        release(root, NAME, root / "datasets/none")
    for name in ("", "a/b", "..", "a b"):
        with pytest.raises(InputError, match="is no name of a release"):
            release(root, name, dataset)
    assert numbers_of(root, NAME) == []


def test_a_damaged_record_is_told_and_removing_it_brings_the_one_before(root: Location) -> None:
    first = release(root, NAME, root / "datasets/d")
    place = releases_in(root, NAME) / "000002.json"
    filesystem, path = place.filesystem()
    filesystem.pipe_file(path, b"{")
    with pytest.raises(InputError, match="000002.json is damaged.*the release before it holds"):
        read_release(root, NAME)
    place.remove()
    assert read_release(root, NAME) == first


def test_a_released_dataset_is_in_use(root: Location) -> None:
    release(root, NAME, root / "datasets/d")
    needed = both(datasets_in_use([root / "runs"]), released_datasets(root))
    assert needed.fingerprints == {IDENTITY: f"release 1 of {NAME} names it"}
    assert needed.unknown == ""
    filesystem, path = (releases_in(root, NAME) / "000002.json").filesystem()
    filesystem.pipe_file(path, b"{")
    assert "release 2 of pfs-red names is not known" in released_datasets(root).unknown
