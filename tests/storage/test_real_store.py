"""Against a real object store: what moto only plays, and what happens when the server is killed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simlib.artifact import create_bytes, replace_bytes
from simlib.dataset.build import build_dataset
from simlib.dataset.verify import verify_dataset
from simlib.etc.grid.store import ensure_terms_grid
from tests.simlib.dataset.toy_build import build, here, toy_config
from tests.storage import ceph
from tests.storage.ceph import Ceph
from tests.storage.object_store import Bucket, Server, credentials, make_bucket

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(ceph.missing()), reason=f"not installed: {', '.join(ceph.missing())}"),
]
LETTERS = [letter.encode() for letter in "abcdefgh"]
BLOCKS = ["dataset.block=16", "dataset.chunk=8"]  # of 300 and 5 rows: 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with ceph.running(tmp_path_factory.mktemp("ceph")) as started:
        yield started


@pytest.fixture
def bucket(store: Ceph, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    with credentials(**store.keys):
        yield make_bucket(Server(store.address), f"b{abs(hash(request.node.nodeid))}")


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_while_a_dataset_is_written_costs_nothing_but_time(
    store: Ceph, bucket: Bucket, tmp_path: Path
) -> None:
    config = toy_config(bucket.url, *bucket.sets, *BLOCKS)
    terms, killed = ensure_terms_grid(config), []

    def kill(done: int, total: int, rows: int) -> None:
        if done in (1, 7):
            store.kill_gateway()
            killed.append(done)
            store.start_gateway()  # and answers some seconds later

    with here() as client:
        folder = build_dataset(config, terms, client, kill)
    assert killed == [1, 7]
    assert verify_dataset(folder).problems == ()
    whole = build(tmp_path, *BLOCKS)
    here_, there = (place / "spectra.zarr" for place in (whole, folder))
    assert there.read_files(there.sizes()) == here_.read_files(here_.sizes())


def test_of_many_that_create_or_change_a_file_at_once_none_is_lost(bucket: Bucket) -> None:
    place = bucket.place / "a"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create_bytes(place, b"%d" % n), range(8)))
        assert sum(made) == 1
        list(pool.map(lambda n: replace_bytes(place, lambda held: (held or b"") + n), LETTERS))
    held = (place.read_bytes() or b"").decode()
    assert held[:1] == str(made.index(True))
    assert sorted(held[1:]) == sorted("abcdefgh")
