"""A dataset on an object store: built, cut off, gone on with, looked at, damaged, mended."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import pytest

from flows.cli import run_program
from flows.config import load_config
from flows.due import dues
from simlib.artifact import write_bytes, write_files
from simlib.dataset import build as building
from simlib.dataset.build import build_dataset
from simlib.dataset.compare import compare_datasets
from simlib.dataset.publish import published, published_dataset
from simlib.dataset.verify import verify_dataset
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.faults.killed_builder import OVERRIDES
from tests.simlib.dataset.toy_build import OVERRIDES as TOY
from tests.simlib.dataset.toy_build import here, toy_config
from tests.simlib.dataset.versions import finished
from tests.storage.object_store import KEY, SECRET, Bucket, Server, make_bucket

SMALL = [*OVERRIDES, "dataset.block=8", "dataset.chunk=4"]
BLOCKS = 4  # 3 of train, 1 of validation


class Cut(Exception):
    """The build is broken off."""


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Location:
    """Return the terms of all these datasets, on a disk: what is there is read anew each time."""
    return ensure_terms_grid(toy_config(tmp_path_factory.mktemp("terms"), *SMALL))


@pytest.fixture(scope="module")
def local(terms: Location, tmp_path_factory: pytest.TempPathFactory) -> Location:
    with here() as client:
        config = toy_config(tmp_path_factory.mktemp("local"), *SMALL)
        return build_dataset(config, terms, client)


@pytest.fixture(scope="module")
def built(server: Server, terms: Location) -> tuple[Bucket, Location]:
    """Return a dataset that was broken off at its second block and gone on with.

    Meanwhile a tenth of all requests was refused.
    """
    bucket = make_bucket(server, "built")
    config, begun, done = toy_config(bucket.url, *bucket.sets, *SMALL), [], []
    good = building.block_files

    def cut(*arguments: object) -> object:
        begun.append(1)
        if len(begun) > 1:
            raise Cut
        return good(*arguments)  # type: ignore[arg-type]

    server.refused, server.refusals, server.at_once = 0.1, 0, 0
    with here(threads=1) as client:
        with pytest.MonkeyPatch.context() as patched, pytest.raises(Cut):
            patched.setattr(building, "block_files", cut)
            build_dataset(config, terms, client)
        assert published(config) is None
        folder = build_dataset(config, terms, client, lambda *told: done.append(told[:2]))
    assert server.refusals > 10
    server.refused = 0.0
    assert 0 < len(done) < BLOCKS and done[-1] == (BLOCKS, BLOCKS)
    return bucket, folder


def arrays(folder: Location) -> dict[str, bytes]:
    place = folder / "spectra.zarr"
    return place.read_files(place.sizes())


def test_it_holds_the_same_bytes_as_one_on_a_disk(
    built: tuple[Bucket, Location], local: Location
) -> None:
    bucket, folder = built
    assert folder.url == f"{bucket.url}/datasets/tiny/{local.name}"
    assert arrays(folder) == arrays(local)
    assert not any(
        secret.encode() in data for secret in (KEY, SECRET) for data in bucket.objects().values()
    )


def test_no_more_than_ten_requests_of_a_client_are_made_at_once(
    built: tuple[Bucket, Location],
) -> None:
    """There are two in a process: this program's, and Zarr's."""
    assert 1 < built[0].server.at_once <= 20


@pytest.mark.slow
def test_every_verb_that_looks_at_a_dataset_looks_at_it(
    built: tuple[Bucket, Location], local: Location, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, folder = built

    def said(*words: str) -> dict:
        capsys.readouterr()
        assert run_program([*words, *bucket.words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert said("verify", folder.url)["problems"] == []
    assert said("inspect", folder.url)["complete"]
    found = said("lineage", folder.url)
    assert {step["state"] for step in [found, *found["parents"]]} == {"there"}
    (stays,) = said("prune", bucket.url)["stays"]
    assert stays["why"] == "published"
    assert compare_datasets(folder, local).is_same


def test_nothing_of_it_is_due(built: tuple[Bucket, Location]) -> None:
    bucket, _ = built
    config = load_config("tiny", [*bucket.sets, *TOY, *SMALL])
    assert [due.is_due for due in dues(config)][:2] == [False, False]


@pytest.fixture
def copied(bucket: Bucket, built: tuple[Bucket, Location]) -> tuple[Bucket, Location]:
    held = built[0].objects()
    write_files(bucket.place, held)
    return bucket, bucket.place / built[1].url.removeprefix(f"{built[0].url}/")


Damage = Callable[[bytes], bytes | None]


def damage(place: Location, how: Damage) -> None:
    data = place.read_bytes()
    assert data is not None
    left = how(data)
    if left is None:
        place.remove()
    else:
        write_bytes(place, left)


@pytest.mark.slow
def test_all_that_is_damaged_at_once_is_told_and_mended(copied: tuple[Bucket, Location]) -> None:
    bucket, folder = copied
    whole = arrays(folder)
    flux = folder / "spectra.zarr/train/flux/c"
    damage(flux / "0/0", lambda data: data[:-9])
    damage(flux / "1/0", lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:])
    damage(flux / "2/0", lambda data: None)
    damage(folder / "parts/train-00000008.json", lambda data: None)
    for place in (folder / "manifest.json", folder.parent / "latest.json"):
        damage(place, lambda data: b"")
        with pytest.raises(InputError, match=r"damaged, no JSON .*; run `specdenoise build CONFIG"):
            verify_dataset(folder.parent if place.name == "latest.json" else folder)
    config = toy_config(bucket.url, *bucket.sets, *SMALL)
    assert published(config) is None
    with here() as client:
        build_dataset(config, ensure_terms_grid(config), client, repair=True)
    assert published(config) == folder
    assert arrays(folder) == whole
    assert verify_dataset(folder).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("how", [lambda data: b"", lambda data: data[:20], lambda data: None])
@pytest.mark.parametrize("name", ["manifest.json", "parts/plan.json", "../latest.json"])
def test_a_record_that_is_cut_is_written_anew_and_nothing_else(
    name: str, how: Damage, copied: tuple[Bucket, Location]
) -> None:
    bucket, folder = copied
    damage(folder.follow(name), how)
    config = toy_config(bucket.url, *bucket.sets, *SMALL)
    bucket.server.seen.clear()
    with here() as client:
        build_dataset(config, ensure_terms_grid(config), client)
    written = {path for method, path, _ in bucket.server.seen if method == "PUT"}
    assert not any("/flux/" in path for path in written)
    assert published_dataset(folder.parent)[0] == folder


def test_an_old_version_goes_and_the_published_one_stays(bucket: Bucket, tmp_path: Path) -> None:
    versions = bucket.place / "datasets/demo"
    for day, letter in enumerate("ab", start=1):
        finished(tmp_path, letter, day)
    records = Location.of(tmp_path)
    names = [name for name in records.sizes() if "spectra.zarr" not in name]
    write_files(bucket.place, records.read_files(names))
    words = ["prune", bucket.url, *bucket.words, "--older-than", "0"]
    assert run_program(words) == 0
    assert len(versions.names()) == 3
    assert run_program([*words, "--yes"]) == 0
    assert versions.names() == ["b" * 16, "latest.json"]


@pytest.mark.slow
def test_two_builders_at_once_make_one_store(bucket: Bucket, local: Location) -> None:
    config = toy_config(bucket.url, *bucket.sets, *SMALL)
    terms = ensure_terms_grid(config)

    def one(_: int) -> Location:
        with here(threads=1) as client:
            return build_dataset(config, terms, client)

    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(one, range(2))
    finally:  # of two default clients, the one that ends last does not undo what the first set
        dask.config.config.pop("scheduler", None)
    assert first == second == published(config)
    assert arrays(first) == arrays(local)
