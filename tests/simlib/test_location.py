"""A place is absolute from the start, keeps its options to itself, and moves with its root."""

import os
import pickle
from pathlib import Path

import pytest

from simlib.artifact import write_files
from simlib.config import load_config
from simlib.errors import InputError
from simlib.location import Location, absolute


def test_a_path_is_absolute_whatever_folder_one_goes_to_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert absolute("data/../x") == str(tmp_path / "x")
    assert absolute("~/x") == str(tmp_path / "home/x")
    assert absolute(f"file://{tmp_path}/y") == str(tmp_path / "y")
    assert absolute("s3://bucket/prefix/") == "s3://bucket/prefix"


@pytest.mark.parametrize("text", ["", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no usable path"):
        Location.of(text)


def test_every_path_of_a_config_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = load_config(
        "tiny",
        ["storage.root=~/x", "sky.tables=tables", "instrument.name=mine.toml",
         "stellar.grid=grids/mine.zarr"],
    )  # fmt: skip
    monkeypatch.chdir("/")
    assert config.storage.root == str(tmp_path / "home/x")
    assert config.sky.tables == str(tmp_path / "tables")
    assert config.instrument.name == str(tmp_path / "mine.toml")
    assert config.stellar.grid == str(tmp_path / "grids/mine.zarr")


def test_the_default_root_is_absolute_and_a_name_stays_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("tiny")
    monkeypatch.chdir("/")
    assert config.root == Location.of(tmp_path / "data")
    assert config.instrument.name == "pfs-redmr-2016-02-29"
    assert config.stellar.grid == "default"


def test_options_travel_and_are_never_shown() -> None:
    place = Location.of("s3://bucket/a", {"profile": "hush"}) / "b"
    assert place.options == {"profile": "hush"}
    assert place.parent.beside("c").options == {"profile": "hush"}
    usual = {"request_checksum_calculation": "when_required",
             "response_checksum_validation": "when_required"}  # fmt: skip
    assert place.zarr == {
        "store": "s3://bucket/a/b",
        "storage_options": {"profile": "hush", "max_concurrency": 1, "config_kwargs": usual},
    }
    told = {"max_concurrency": 4, "config_kwargs": {"request_checksum_calculation": "x", "a": 1}}
    options = Location.of("s3://bucket", told).zarr["storage_options"]
    assert options["max_concurrency"] == 4  # what is given goes before what is usual here
    assert options["config_kwargs"].items() >= told["config_kwargs"].items()
    assert options["config_kwargs"]["response_checksum_validation"] == "when_required"
    assert Location.of("s3://bucket", {"config_kwargs": None}).zarr["storage_options"]
    with pytest.raises(InputError, match="cannot open s3://bucket"):
        Location.of("s3://bucket", {"config_kwargs": 7}).filesystem()
    assert Location.of("gs://bucket", {}).zarr["storage_options"] == {}
    assert "hush" not in f"{place} {place!r}"
    assert pickle.loads(pickle.dumps(place)) == place
    assert len({place, Location.of("s3://bucket/a/b")}) == 2


@pytest.mark.parametrize("root", ["/here/root", "s3://bucket/root"])
def test_a_way_between_two_places_of_a_root_holds_when_the_root_moves(root: str) -> None:
    run, dataset = (Location.of(f"{root}/{part}") for part in ("runs/a", "datasets/b/c"))
    way = dataset.relative_to(run)
    assert way == "../../datasets/b/c"
    assert run.follow(way) == dataset
    moved = Location.of("s3://other/root/runs/a")
    assert moved.follow(way).url == "s3://other/root/datasets/b/c"


def test_a_way_to_another_file_system_is_its_url() -> None:
    here, there = Location.of("/here/run"), Location.of("s3://bucket/data")
    assert here.follow(there.relative_to(here)).url == there.url


def test_what_is_in_a_folder(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "x")
    assert place.names() == []
    assert place.read_bytes() is None
    assert not place.exists()
    os.makedirs(place / "inner")
    (tmp_path / "x/file").write_bytes(b"1")
    assert place.names() == ["file", "inner"]
    assert (place / "file").names() == []
    assert (place / "file").read_bytes() == b"1"
    assert (place / "file/below").read_bytes() is None
    with pytest.raises(InputError, match="is a folder"):
        place.read_bytes()
    place.remove()
    assert not place.exists()


@pytest.mark.parametrize(("url", "options"), [("nonsense://x", {}), ("memory://x", {"a": 1})])
def test_an_unknown_file_system_is_one_message(url: str, options: dict[str, int]) -> None:
    place = Location.of(url, options)
    if url.startswith("nonsense"):
        with pytest.raises(InputError, match="cannot open nonsense://x"):
            place.exists()
    else:
        assert not place.exists()


@pytest.mark.parametrize("url", ["folder", "memory://sizes"])
def test_files_of_a_folder_are_measured_and_read_together(tmp_path: Path, url: str) -> None:
    place = Location.of(tmp_path / "a[b]" if url == "folder" else url)
    assert place.sizes() == {}
    files = {f"deep/{number}/x": b"1" * number for number in range(40)}
    write_files(place, files)
    assert place.sizes() == {name: len(data) for name, data in files.items()}
    assert place.read_files([*files, "deep/none", "deep/3/x/below"]) == files


@pytest.mark.parametrize("url", ["folder", "memory://unlike"])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_files_that_hold_other_bytes_or_are_not_there_are_named(
    tmp_path: Path, url: str, kind: type
) -> None:
    place = Location.of(tmp_path if url == "folder" else url) / kind.__name__
    files = {"a": b"", "b": b"1", "c/d": bytes(4 << 20), "c/e": b"2" * 12_345}
    write_files(place, {name: kind(data) for name, data in files.items()})

    def unlike(**others: bytes) -> list[str]:
        return place.unlike({name: kind(data) for name, data in (files | others).items()})

    assert unlike() == []
    assert unlike(b=b"2") == ["b"]
    assert unlike(a=b"1", **{"c/e": b"2" * 12_344}) == ["a", "c/e"]
    assert unlike(**{"c/d": bytes((4 << 20) - 1) + b"1", "none": b""}) == ["c/d", "none"]


def test_options_that_are_none_are_told() -> None:
    with pytest.raises(InputError, match=r"cannot open memory://a: .*use a folder or s3://"):
        Location.of("memory://a", {"memory": "an option of the name of the protocol"}).exists()
