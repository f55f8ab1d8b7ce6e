"""What the workers of a running cluster cannot see is told before anything starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from flows.cluster_view import require_seen
from simlib.errors import InputError
from simlib.location import Location


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as running:
        yield running


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client
        client.run(back)


def elsewhere(folder: str, other: str, refuse: bool = False) -> None:
    """Give a worker the view of another machine: what is at `folder` here is another there."""
    from simlib.location import Location

    filesystem, path = Location.filesystem, Location.__dict__["path"]
    Location.before = (filesystem, path)  # type: ignore[attr-defined]

    def moved(place: Location) -> Location:
        return Location.of(place.url.replace(folder, other))

    def another(place: Location) -> object:
        if refuse:
            raise PermissionError(f"not for you: {place}")
        return filesystem(moved(place))

    Location.filesystem = another  # type: ignore[method-assign]
    Location.path = property(lambda place: path.fget(moved(place)))  # type: ignore


def back() -> None:
    """Give a worker its own view again."""
    from simlib.location import Location

    if hasattr(Location, "before"):
        Location.filesystem, Location.path = Location.before  # type: ignore


def test_workers_that_see_everything_are_taken_and_no_mark_is_left(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("1")
    root = tmp_path / "data"
    require_seen(client, {"sky.tables": Location.of(tmp_path / "tables")},
                 {"storage.root": Location.of(root)})  # fmt: skip
    assert list(root.iterdir()) == []


def test_another_folder_of_the_same_name_is_told_with_worker_and_way_out(
    client: Client, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, text in ((here, "1"), (there, "2")):
        folder.mkdir()
        (folder / "arm.toml").write_text(text)
    (here / "only").mkdir()
    (here / "only" / "here.csv").write_text("")
    far = next(iter(client.scheduler_info()["workers"]))
    client.run(elsewhere, str(here), str(there), workers=[far])
    reads = {"instrument.name": Location.of(here / "arm.toml"),
             "sky.tables": Location.of(here / "only")}  # fmt: skip
    with pytest.raises(InputError, match="do not see what they need") as error:
        require_seen(client, reads, {"storage.root": Location.of(here)})
    told = str(error.value)
    assert f"{far}: instrument.name = {here / 'arm.toml'} is another one" in told
    assert f"sky.tables = {here / 'only'} is not there" in told
    assert f"storage.root = {here} is not the folder that it is here" in told
    assert "Share it with every worker under the same path, or use a URL" in told
    assert told.count("tcp://127.0.0.1") == 2  # the cluster and one of its two workers
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_a_root_that_a_worker_may_not_open_is_told(client: Client, tmp_path: Path) -> None:
    client.run(elsewhere, "x", "x", refuse=True)
    with pytest.raises(InputError, match="cannot be written .not for you"):
        require_seen(client, {}, {"storage.root": Location.of(tmp_path)})


def test_a_cluster_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cluster_view._WAIT_S", 0.2)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        Client(empty) as client,
        pytest.raises(InputError, match=r"no worker has joined .*start `dask worker tcp://"),
    ):
        require_seen(client, {}, {"storage.root": Location.of(tmp_path)})
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        Client(empty) as client,
        pytest.raises(InputError, match=r"none came in 0.3 s: look at the queue.*cluster.wait_s"),
    ):
        require_seen(client, {}, {}, 0.3)


@pytest.mark.parametrize("flow", ["building", "training", "workflow"])
def test_no_flow_begins_on_such_a_cluster(
    flow: str, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    from flows import building, pipeline  # here: workers import this module, and need no torch

    root = tmp_path / "data"
    client.run(elsewhere, str(root), str(tmp_path / "not" / "here"))
    overrides = [f"storage.root={root}", f"cluster.address={cluster.scheduler_address}"]
    more = [False] if flow == "building" else []
    with pytest.raises(InputError, match=f"storage.root = {root} is not the folder that it is"):
        getattr(building if more else pipeline, flow).fn("tiny", overrides, *more)
    assert list(tmp_path.rglob("*")) == [root]
