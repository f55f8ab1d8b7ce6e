"""What goes wrong while a dataset is made: nothing is published, nothing done is lost."""

import errno
import multiprocessing
import os
import platform
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import dask
import fsspec
import pytest
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem

from flows.cli import run_program
from simlib import retry
from simlib.artifact import Record, read_record, write_files
from simlib.config import SimulationConfig, load_config
from simlib.dataset import build
from simlib.dataset.open import open_dataset
from simlib.dataset.places import plan_in
from simlib.dataset.plan import Block, Plan
from simlib.dataset.publish import folder_of, published, published_dataset
from simlib.dataset.store import missing_blocks, records_of
from simlib.dataset.verify import verify_dataset
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.faults.full_disk import FullDisk
from tests.simlib.dataset.toy_build import here, toy_config

BLOCKS = 5  # 3 of train, 2 of validation


def config_at(root: Path | str) -> SimulationConfig:
    return load_config("tiny", [f"storage.root='{root}'"])


@pytest.fixture
def client() -> Any:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


def contents(folder: Location) -> dict[str, bytes]:
    arrays = folder / "spectra.zarr"
    return arrays.read_files(arrays.sizes())


def test_a_full_disk_is_one_message_and_the_rest_is_done_later(
    client: Client, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk.store.clear()
    config = config_at("full://disk")
    FullDisk.room = 10**9
    terms = ensure_terms_grid(config)
    FullDisk.room = 2_000_000  # some blocks of 2 x 32 x 4096 x 4 bytes fit, not all
    with pytest.raises(OSError, match="No space left") as caught:
        build.build_dataset(config, terms, client)
    assert caught.value.errno == 28
    folder = next(iter(build_folders()))
    done = [name for name in FullDisk.store if re.search("/parts/(train|validation)-", name)]
    assert 0 < len(done) < BLOCKS
    assert not (folder / "manifest.json").exists()
    monkeypatch.setattr("flows.cli.app", lambda arguments: raise_it(caught.value))
    assert run_program([]) == 2
    assert "no space left while writing" in capfd.readouterr().err
    FullDisk.room = 10**9
    assert build.build_dataset(config, terms, client) == folder
    assert all(name in FullDisk.store for name in done)
    assert open_dataset(folder, "validation").sizes["spectrum"] == 48


def raise_it(error: Exception) -> None:
    raise error


def build_folders() -> set[Location]:
    parts = [name for name in FullDisk.store if name.endswith("/parts/plan.json")]
    return {Location.of("full:/" + name.removesuffix("/parts/plan.json")) for name in parts}


def build_once(root: str) -> None:
    """Build with one worker of this process; the test kills it in the middle."""
    config = config_at(root)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        build.build_dataset(config, ensure_terms_grid(config), made, stop_after_two)


def stop_after_two(done: int, total: int, rows: int) -> None:
    if done >= 2:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, client: Client
) -> None:
    killed = multiprocessing.get_context("spawn").Process(
        target=build_once, args=(str(tmp_path / "killed"),)
    )
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    config = config_at(tmp_path / "killed")
    terms = ensure_terms_grid(config)
    folder = Location.of(next((tmp_path / "killed/datasets/tiny").iterdir()))
    plan = read_record(plan_in(folder), Plan)
    assert plan is not None
    missing = missing_blocks(folder, plan, records_of(folder, plan))
    assert 0 < len(missing) <= BLOCKS - 2
    seen: list[int] = []
    build.build_dataset(config, terms, client, lambda done, total, rows: seen.append(done))
    assert len(seen) == len(missing)  # only the rest was done
    whole = config_at(tmp_path / "whole")
    other = build.build_dataset(whole, ensure_terms_grid(whole), client)
    assert contents(folder) == contents(other)


def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path: Path, client: Client) -> None:
    config, whole = config_at(tmp_path / "killed"), config_at(tmp_path / "whole")
    terms = ensure_terms_grid(config)
    killed: list[int] = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as made,
    ):

        def kill_once(done: int, total: int, rows: int) -> None:
            if not killed:
                killed.extend(made.run(os.getpid).values())
                os.kill(killed[0], signal.SIGKILL)

        folder = build.build_dataset(config, terms, made, kill_once)
    assert killed
    other = build.build_dataset(whole, ensure_terms_grid(whole), client)
    assert contents(folder) == contents(other)


def test_a_store_that_is_removed_while_it_is_built_is_one_message(
    tmp_path: Path, client: Client
) -> None:
    config = config_at(tmp_path)
    terms = ensure_terms_grid(config)

    def remove(done: int, total: int, rows: int) -> None:
        if done == total:
            shutil.rmtree(folder_of(config).path / "parts")

    with pytest.raises(InputError, match="was written and is not there any more"):
        build.build_dataset(config, terms, client, remove)
    build.build_dataset(config, terms, client)
    assert published(config) is not None


def test_a_finished_dataset_is_left_alone(tmp_path: Path, client: Client) -> None:
    config = config_at(tmp_path)
    terms = ensure_terms_grid(config)
    folder = build.build_dataset(config, terms, client)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    seen: list[int] = []
    assert build.build_dataset(config, terms, client, lambda *args: seen.append(1)) == folder
    assert not seen
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_what_a_broken_build_left_may_be_used_without_storing_and_finished_later(
    tmp_path: Path, client: Client
) -> None:
    config = config_at(tmp_path)
    terms = ensure_terms_grid(config)

    def break_off(done: int, total: int, rows: int) -> None:
        raise ConnectionError("the cable was cut")

    with pytest.raises(ConnectionError):
        build.build_dataset(config, terms, client, break_off)
    endless = load_config("tiny", [f"storage.root='{tmp_path}'", "dataset.mode=endless"])
    folder = build.build_dataset(endless, terms, client)
    made = open_dataset(folder, "validation").load()
    assert published_dataset(folder)[1].mode == "endless"
    assert build.build_dataset(config, terms, client) == folder
    assert published_dataset(folder)[1].mode == "stored"
    kept = open_dataset(folder, "validation").load()
    assert all((kept[name].values == made[name].values).all() for name in kept.data_vars)


class Flaky(FullDisk):
    """A file system of which now and then an operation fails that would go well the next time."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    every, done, failed = 10**9, 0, 0
    together = 0  # that failed among files read together: these are asked for again without a pause

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return "/" + str(path).removeprefix("flaky://").strip("/")

    def _count(self) -> None:
        Flaky.done += 1
        if Flaky.done % Flaky.every == 0:
            Flaky.failed += 1
            raise OSError(errno.EIO, "Input/output error")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._count()
        MemoryFileSystem.pipe_file(self, path, value, mode=mode, **kwargs)

    def cat_file(self, path: str, *arguments: Any, **kwargs: Any) -> bytes:
        self._count()
        return bytes(MemoryFileSystem.cat_file(self, path, *arguments, **kwargs))

    def cat_ranges(self, paths: Any, *arguments: Any, **kwargs: Any) -> Any:
        found = MemoryFileSystem.cat_ranges(self, paths, *arguments, **kwargs)
        Flaky.together += sum(getattr(one, "errno", None) == errno.EIO for one in found)
        return found

    def find(self, path: str, *arguments: Any, **kwargs: Any) -> Any:
        self._count()
        return MemoryFileSystem.find(self, path, *arguments, **kwargs)


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.mark.parametrize("every", [59, pytest.param(101, marks=pytest.mark.slow)])
def test_a_failure_that_passes_ends_no_build(
    every: int, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(retry, "sleep", paused.append)
    config, whole = config_at("flaky://disk"), config_at(tmp_path)
    Flaky.store.clear()
    Flaky.every = 10**9
    terms = ensure_terms_grid(config)
    Flaky.every, Flaky.done, Flaky.failed = every, every - 7, 0  # the plan is met as well
    Flaky.together = 0
    folder = build.build_dataset(config, terms, client)
    Flaky.every = 10**9
    assert Flaky.failed >= 3
    assert paused and len(paused) + Flaky.together == Flaky.failed
    assert contents(folder) == contents(build.build_dataset(whole, terms, client))


def test_of_many_files_read_together_those_that_failed_are_asked_for_again() -> None:
    place = Location.of("flaky://many")
    Flaky.store.clear()
    Flaky.every = 10**9
    write_files(place, {name: name.encode() for name in "abcdefg"})
    Flaky.every, Flaky.done = 5, 0
    assert place.read_files("abxdefg") == {name: name.encode() for name in "abdefg"}
    Flaky.every = 1
    with pytest.raises(OSError, match="Input/output error"):
        place.read_files("ab")
    Flaky.every = 10**9


def test_a_failure_that_stays_is_told_after_a_few_attempts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(retry, "sleep", paused.append)
    config = config_at("flaky://broken")
    Flaky.every = 10**9
    terms = ensure_terms_grid(config)
    Flaky.every = 1
    with pytest.raises(OSError, match="Input/output error"):
        build.build_dataset(config, terms, client)
    Flaky.every = 10**9
    assert paused == list(retry.PAUSES_S)


def test_a_block_is_on_the_disk_before_its_record_is_written(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    fsync, good, recorded = os.fsync, build.write_record, []

    def spy(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def checked(place: Location, record: Record) -> None:
        if isinstance(record, build.BlockRecord):
            arrays = place.parent.parent / "spectra.zarr"
            for name in record.sizes:
                file = (arrays / name).path
                places = (file, file.parent, file.parents[1])
                assert {path.stat().st_ino for path in places} <= flushed
            recorded.append(record)
        good(place, record)

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(build, "write_record", checked)
    config = config_at(tmp_path)
    build.build_dataset(config, ensure_terms_grid(config), client)
    assert len(recorded) == BLOCKS


def test_what_a_killed_builder_of_a_published_dataset_left_is_cleared(
    client: Client, tmp_path: Path
) -> None:
    config = config_at(tmp_path)
    terms = ensure_terms_grid(config)
    folder = build.build_dataset(config, terms, client)
    dead = multiprocessing.get_context("spawn").Process(target=int)
    dead.start()
    dead.join(60)
    for place in (folder.parent / "latest.json", folder / "manifest.json", folder / "parts/x"):
        for process in (dead.pid, os.getpid()):
            name = f".{place.name}.{platform.node()}.{process}.1.writing"
            (place.parent / name).path.write_bytes(b"half")
    assert build.build_dataset(config, terms, client) == folder
    left = {path.name.split(".")[-3] for path in tmp_path.rglob("*.writing")}
    assert left == {str(os.getpid())}


@pytest.mark.slow  # some seeds of test_kills.py have two builders
def test_builders_at_once_share_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = ("dataset.n_train=320", "dataset.n_validation=8", "dataset.block=8", "dataset.chunk=4")
    config = toy_config(tmp_path, *size)
    terms, made, good = ensure_terms_grid(config), [], build.block_files

    def counted(plan: Plan, block: Block, values: Any) -> Any:
        made.append(block.name)
        return good(plan, block, values)

    def one(_: int) -> Location:
        with here(threads=1) as client:
            return build.build_dataset(config, terms, client)

    monkeypatch.setattr(build, "block_files", counted)
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(one, range(2))
    finally:  # of two default clients, the one that ends last does not undo what the first set
        dask.config.config.pop("scheduler", None)
    assert first == second and verify_dataset(first).problems == ()
    assert len(set(made)) == 41
    assert len(made) < 1.5 * 41  # in the same order both would make nearly all
