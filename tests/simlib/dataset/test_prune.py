"""What `prune` takes, and what it leaves: what is published, used, being written or unknown."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from simlib import artifact
from simlib.artifact import create_record, write_record
from simlib.dataset import prune as pruning
from simlib.dataset.open import open_dataset
from simlib.dataset.places import latest_in, plan_in
from simlib.dataset.prune import Found, InUse, find_prunable, prune
from simlib.dataset.publish import Latest
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.made import make_plan
from tests.simlib.dataset.versions import HOUR, aged, finished, unfinished

NOBODY = InUse()


def goes(root: Path | Location, in_use: InUse = NOBODY, **given: float) -> dict[str, str]:
    found = find_prunable(Location.of(root), in_use, **given)  # type: ignore[arg-type]
    return {one.place.name: one.kind for one in found.goes}


def stays(root: Path, in_use: InUse = NOBODY) -> dict[str, str]:
    return {one.place.name[0]: one.why for one in find_prunable(Location.of(root), in_use).stays}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_old_versions_go_and_the_published_one_stays(tmp_path: Path) -> None:
    old, latest = finished(tmp_path, "a"), finished(tmp_path, "b", 2)
    other = finished(tmp_path, "c", name="other")
    found = find_prunable(Location.of(tmp_path), NOBODY)
    assert [(one.place.path, one.kind) for one in found.goes] == [(old, "old version")]
    assert found.bytes == size_of(old) > 1000
    assert {one.place.path: one.why for one in found.stays} == dict.fromkeys(
        (latest, other), "published"
    )
    assert old.exists()  # looking removes nothing
    assert [one.place.path for one in prune(found)] == [old]
    assert sorted(path.name for path in (tmp_path / "datasets/demo").iterdir()) == [
        latest.name, "latest.json",
    ]  # fmt: skip
    for name in ("demo", "other"):
        assert open_dataset(tmp_path / "datasets" / name)["flux"].values.size
    assert goes(tmp_path) == {}


@pytest.mark.parametrize(("keep", "gone"), [(0, "abc"), (1, "bc"), (2, "b"), (3, ""), (9, "")])
def test_the_newest_old_ones_are_kept(tmp_path: Path, keep: int, gone: str) -> None:
    for letter, day in (("a", 7), ("b", 3), ("c", 5), ("d", 1)):  # d is published last
        finished(tmp_path, letter, day)
    assert sorted(goes(tmp_path, keep=keep)) == [letter * 16 for letter in gone]


def test_what_a_run_was_trained_on_stays(tmp_path: Path) -> None:
    for letter in "abc":
        finished(tmp_path, letter)
    assert list(goes(tmp_path, InUse({"a" * 16: "run x"}))) == ["b" * 16]
    assert stays(tmp_path, InUse({"a" * 16: "run x"}))["a"] == "run x"
    assert goes(tmp_path, InUse({}, "a run cannot be read")) == {}
    assert stays(tmp_path, InUse({}, "a run cannot be read"))["b"] == "a run cannot be read"


@pytest.mark.parametrize(("hours", "is_abandoned"), [(0, False), (23, False), (25, True)])
def test_only_what_nobody_goes_on_with_is_abandoned(
    tmp_path: Path, hours: float, is_abandoned: bool
) -> None:
    folder = unfinished(tmp_path, "e", hours)
    expected = {folder.name: "unfinished version"} if is_abandoned else {}
    assert goes(tmp_path) == expected
    assert goes(tmp_path, margin_s=(hours + 1) * HOUR) == {}
    assert goes(tmp_path, margin_s=(hours - 0.5) * HOUR) == {folder.name: "unfinished version"}


def test_one_new_file_shows_that_somebody_builds(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, "e", 100)
    (folder / "parts" / "validation-00000000.json").write_text("{}")
    assert goes(tmp_path) == {}
    assert "may still run" in stays(tmp_path)["e"]


def test_a_finished_version_that_is_being_mended_stays(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path, "a"), finished(tmp_path, "b")
    aged(folder, 2)
    (folder / "parts" / "train-00000000.json").touch()
    assert goes(tmp_path) == {}
    assert "after it was finished" in stays(tmp_path)["a"]
    assert goes(tmp_path, margin_s=-1) == {folder.name: "old version"}


def damaged(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def strange(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def linked(folder: Path) -> None:
    folder.rename(folder.parent.parent / "away")
    folder.symlink_to(folder.parent.parent / "away")


def emptied(folder: Path) -> None:
    folder.rename(folder.parent / "kept")
    folder.mkdir()


def a_file(folder: Path) -> None:
    folder.rename(folder.parent / "kept")
    folder.write_text("mine")


@pytest.mark.parametrize("change", [damaged, strange, linked, emptied, a_file])
def test_what_is_not_recognised_stays(tmp_path: Path, change: Callable[[Path], None]) -> None:
    old, latest = finished(tmp_path, "a"), finished(tmp_path, "b")
    change(old)
    for path in (*old.parent.rglob("*"), *(tmp_path / "datasets").rglob("*")):
        os.utime(path, (1e9, 1e9))
    found = find_prunable(Location.of(tmp_path), NOBODY)
    assert found.goes == () and prune(found) == []
    assert {one.place.name for one in found.stays} == {old.name, latest.name}


@pytest.mark.parametrize("content", ["", "{}", "{", "[]"])
def test_where_it_is_not_known_what_is_published_all_stays(tmp_path: Path, content: str) -> None:
    finished(tmp_path, "a"), finished(tmp_path, "b"), unfinished(tmp_path, "e", 100)
    (tmp_path / "datasets/demo/latest.json").write_text(content)
    assert goes(tmp_path) == {}
    assert all("which version is published is not known" in why for why in stays(tmp_path).values())


def test_without_a_published_version_finished_ones_stay(tmp_path: Path) -> None:
    finished(tmp_path, "a"), unfinished(tmp_path, "e", 100)
    (tmp_path / "datasets/demo/latest.json").unlink()
    assert goes(tmp_path) == {"e" * 16: "unfinished version"}


def test_a_published_version_stays_whatever_is_missing_of_it(tmp_path: Path) -> None:
    folder = finished(tmp_path, "a")
    (folder / "manifest.json").unlink()
    aged(folder, 1000)
    assert goes(tmp_path) == {}


def dead_process() -> int:
    done = subprocess.Popen(["true"])
    done.wait(timeout=30)
    return done.pid


def test_leftovers_of_dead_writers_go(tmp_path: Path) -> None:
    folder = finished(tmp_path, "a")
    node, dead, alive = artifact.platform.node(), dead_process(), os.getpid()
    for place in (folder, folder / "parts", folder.parent, tmp_path / "runs/demo-1/checkpoints"):
        place.mkdir(parents=True, exist_ok=True)
        (place / f".manifest.json.{node}.{dead}.0.writing").write_text("half")
        (place / f".manifest.json.{node}.{alive}.0.writing").write_text("half")
        (place / ".manifest.json.elsewhere.1.0.writing").write_text("half")
        (place / ".mine.writing").write_text("no leftover")
    (folder / f".spectra.zarr.{node}.{dead}.1.writing").mkdir()
    (folder / f".spectra.zarr.{node}.{dead}.1.writing/0").write_text("half")
    found = find_prunable(Location.of(tmp_path), NOBODY)
    assert {one.kind for one in found.goes} == {"leftover"}
    assert len(found.goes) == 5 and all(f".{node}.{dead}." in str(one.place) for one in found.goes)
    assert len(prune(found)) == 5
    left = sorted(path.name for path in tmp_path.rglob(".*"))
    assert len(left) == 12 and not any(f".{dead}." in name for name in left)
    elsewhere = folder.parent / ".manifest.json.elsewhere.1.0.writing"
    os.utime(elsewhere, (1e9, 1e9))
    assert [one.place.path for one in find_prunable(Location.of(tmp_path), NOBODY).goes] == [
        elsewhere
    ]


def test_terms_that_no_manifest_took_go_when_old(tmp_path: Path) -> None:
    arrays = tmp_path / "terms" / ("c" * 16) / "terms-0123456789ab.zarr"
    arrays.mkdir(parents=True)
    (arrays / "zarr.json").write_text("{}")
    assert goes(tmp_path) == {}
    aged(arrays, 30)
    assert goes(tmp_path) == {arrays.name: "leftover"}
    (arrays.parent / "manifest.json").write_text("damaged")
    assert goes(tmp_path) == {}


def test_a_root_without_anything_of_ours_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds neither datasets/ nor terms/ nor runs/; give"):
        find_prunable(Location.of(tmp_path), NOBODY)


def test_what_is_published_or_written_to_meanwhile_stays(tmp_path: Path) -> None:
    old, _ = finished(tmp_path, "a"), finished(tmp_path, "b")
    begun = unfinished(tmp_path, "e", 100)
    found = find_prunable(Location.of(tmp_path), NOBODY)
    assert len(found.goes) == 2
    write_record(latest_in(Location.of(old.parent)), Latest(fingerprint=old.name))
    (begun / "parts/train-00000008.json").write_text("{}")
    assert prune(found) == []
    assert open_dataset(old)["snr"].values.size == 20 and begun.exists()


def test_what_is_published_at_the_last_moment_gets_its_name_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = finished(tmp_path, "a"), finished(tmp_path, "b")
    found = find_prunable(Location.of(tmp_path), NOBODY)

    def discard(place: Location, is_wanted: Callable[[], bool]) -> bool:
        write_record(latest_in(place.parent), Latest(fingerprint=place.name))
        return artifact.discard(place, is_wanted)

    monkeypatch.setattr(pruning, "discard", discard)
    assert prune(found) == []
    assert open_dataset(old.parent)["snr"].values.size == 20


def test_what_another_removed_meanwhile_is_no_error(tmp_path: Path) -> None:
    finished(tmp_path, "a"), finished(tmp_path, "b")
    found = find_prunable(Location.of(tmp_path), NOBODY)
    assert len(prune(found)) == 1 and prune(found) == []


KILLED = """
import os, shutil, signal, sys
from simlib.dataset.prune import InUse, find_prunable, prune
from simlib.location import Location
remove = os.unlink
def unlink(path, *given, **options):
    remove(path, *given, **options)
    os.kill(os.getpid(), signal.SIGKILL)
os.unlink = unlink
prune(find_prunable(Location.of(sys.argv[1]), InUse()))
"""


def test_a_kill_leaves_no_half_of_a_version(tmp_path: Path) -> None:
    old, latest = finished(tmp_path, "a"), finished(tmp_path, "b")
    files = len([path for path in old.rglob("*") if path.is_file()])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not old.exists()
    (left,) = (path for path in old.parent.iterdir() if path.name.startswith("."))
    assert len([path for path in left.rglob("*") if path.is_file()]) == files - 1
    assert open_dataset(old.parent)["snr"].values.size == 20
    assert goes(tmp_path) == {left.name: "leftover"}
    prune(find_prunable(Location.of(tmp_path), NOBODY))
    assert sorted(path.name for path in old.parent.iterdir()) == [latest.name, "latest.json"]


def test_behind_a_url(tmp_path: Path) -> None:
    finished(tmp_path, "a"), finished(tmp_path, "b"), unfinished(tmp_path, "e", 100)
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/", "/pruned/", recursive=True)
    root = Location.of("memory://pruned")
    assert goes(root) == {}  # what was put there now was written now, its manifest not last
    found = find_prunable(root, NOBODY, margin_s=0)
    kinds = {one.place.name: one.kind for one in found.goes}
    assert kinds == {"a" * 16: "old version", "e" * 16: "unfinished version"}
    assert len(prune(found)) == 2
    assert memory.ls("/pruned/datasets/demo", detail=False) == [
        "/pruned/datasets/demo/" + "b" * 16, "/pruned/datasets/demo/latest.json",
    ]  # fmt: skip
    assert open_dataset(root / "datasets" / "demo")["snr"].values.size == 20
    memory.rm("/pruned", recursive=True)


def test_a_kill_behind_a_url_leaves_an_unfinished_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = finished(tmp_path, "a"), finished(tmp_path, "b")
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/", "/halved/", recursive=True)
    root = Location.of("memory://halved")
    remove = Location.remove

    def dies(place: Location) -> None:
        if place.name == old.name:
            raise KeyboardInterrupt
        remove(place)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Location, "remove", dies)
        prune(find_prunable(root, NOBODY, margin_s=0))
    with pytest.raises(InputError, match="is not complete"):
        open_dataset(root / "datasets" / "demo" / old.name)
    assert goes(root, margin_s=0) == {old.name: "unfinished version"}
    memory.rm("/halved", recursive=True)


def test_files_whose_age_is_not_told_are_no_sign_that_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished(tmp_path, "e", 100)
    monkeypatch.setattr("simlib.location._written", lambda info: None)
    assert goes(tmp_path) == {}
    assert stays(tmp_path)["e"] == "when its files were written is not known"


def test_a_plan_alone_is_an_unfinished_version(tmp_path: Path) -> None:
    folder = tmp_path / "datasets/demo" / ("f" * 16)
    create_record(plan_in(Location.of(folder)), make_plan())
    assert goes(tmp_path) == {}
    aged(folder, 25)
    assert goes(tmp_path) == {folder.name: "unfinished version"}


def test_found_things_are_told_in_a_stable_way(tmp_path: Path) -> None:
    finished(tmp_path, "a"), finished(tmp_path, "b")
    found: list[tuple[Found, ...]] = [
        find_prunable(Location.of(tmp_path), NOBODY).goes for _ in range(2)
    ]
    assert found[0] == found[1]
