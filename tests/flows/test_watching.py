"""Files that a config names: what changed is told once, whatever happened in between."""

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import watching
from flows.cli import run_program
from flows.config import Config, load_config
from flows.watching import InputChange, tell_changes, watch
from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.instrument import FOLDER
from simlib.lease import leased
from simlib.location import Location


class Server:
    """What is told; `answers` are used up first."""

    def __init__(self, *answers: bool) -> None:
        self.told: list[dict[str, Any]] = []
        self.answers = list(answers)

    def __call__(self, kind: str, place: Location, **facts: str | None) -> bool:
        if self.answers and not self.answers.pop(0):
            return False
        self.told.append({"kind": kind, "name": place.name, **facts})
        return True


class Place:
    """A root, two tables, and a config that names their folder."""

    def __init__(self, root: str, tables: Path, *more: str, **options: Any) -> None:
        self.tables = tables
        tables.mkdir()
        self.write("one")
        (tables / "other.csv").write_text("x\n")
        self.sets = [f"storage.root='{root}'", f"sky.tables='{tables}'", *more]

    @property
    def config(self) -> Config:
        return load_config("tiny", self.sets)

    def write(self, text: str, name: str = "one.csv") -> None:
        (self.tables / name).write_text(text)

    def looks(self, server: Server, count: int = 2) -> list[InputChange]:
        return [one for _ in range(count) for one in tell_changes(self.config, server)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "data"), tmp_path / "tables")


def test_a_changed_table_is_told_once_with_both_checksums(place: Place) -> None:
    server = Server()
    assert place.looks(server, 3) == []
    place.write("two")
    assert place.looks(server, 1) == []  # it may be half written
    (change,) = place.looks(server)
    assert change.of == "sky.tables" and change.old != change.new
    fact = {"kind": "input", "name": "one.csv", "of": "sky.tables", "old": change.old,
            "new": change.new}  # fmt: skip
    assert server.told == [fact]
    place.write("one")
    (back,) = place.looks(server)
    assert (back.old, back.new) == (change.new, change.old)


def test_what_was_touched_or_written_with_the_same_bytes_is_not_told(place: Place) -> None:
    server = Server()
    place.looks(server, 1)
    os.utime(place.tables / "one.csv", (1, 1))
    assert place.looks(server) == []
    place.write("one")
    assert place.looks(server, 3) == [] and server.told == []


def test_what_is_written_for_long_is_waited_for(place: Place) -> None:
    server = Server()
    place.looks(server, 1)
    for length in range(3):
        place.write("two"[: length + 1])
        assert place.looks(server, 1) == []
    assert [one.new for one in place.looks(server)] == [watching.sha256(b"two").hexdigest()[:16]]


def test_what_is_written_to_while_it_is_read_is_read_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, more, read = Server(), ["longer"], watching._checksum
    place.looks(server, 1)

    def reading(file: Location) -> str | None:
        found = read(file)
        if more:
            place.write(more.pop())
        return found

    monkeypatch.setattr(watching, "_checksum", reading)
    place.write("two")
    (change,) = place.looks(server, 4)
    assert change.new == watching.sha256(b"longer").hexdigest()[:16]


def test_of_two_that_look_at_once_one_tells(place: Place) -> None:
    server = Server()
    place.looks(server, 1)
    place.write("two")
    place.looks(server, 1)
    lease = place.config.root / "watches/tiny/lease"
    with leased(lease, "it"), pytest.raises(InputError, match="the watch over tiny is held by"):
        place.looks(server, 1)
    assert server.told == [] and len(place.looks(server)) == 1


def test_a_file_that_goes_is_told_of_once_and_is_as_it_was_when_it_is_back(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    place.looks(server, 1)
    for name in ("one.csv", "other.csv"):
        (place.tables / name).unlink()
    assert place.looks(server, 3) == []
    said = f"sky.tables = {place.tables}: {place.tables}/one.csv is not there; put it back, or"
    assert [text.startswith(said) for text in caplog.messages].count(True) == 1
    place.tables.rmdir()
    assert place.looks(server) == []
    place.tables.mkdir()
    place.write("one")
    assert place.looks(server, 3) == []
    place.write("x\ny\n", "other.csv")
    assert [one.place.name for one in place.looks(server)] == ["other.csv"]


def test_a_new_table_is_a_change_and_another_folder_is_a_config_s(
    place: Place, tmp_path: Path
) -> None:
    server = Server()
    place.looks(server, 1)
    place.write("new", "new.csv")
    (change,) = place.looks(server)
    assert change.place.name == "new.csv" and change.old is None
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/one.csv").write_text("another")
    place.sets[1] = f"sky.tables='{tmp_path}/elsewhere'"
    assert place.looks(server, 3) == []
    place.write("nobody's")
    assert place.looks(server, 3) == []


def test_what_the_server_could_not_be_told_is_told_later(place: Place) -> None:
    """Here by another process too: all that is known is in the root."""
    server = Server(False, False)
    place.looks(server, 1)
    place.write("two")
    assert place.looks(server, 3) == []
    assert len(place.looks(server, 3)) == len(server.told) == 1


def test_an_instrument_a_band_and_a_grid_are_watched_with_what_belongs_to_them(
    tmp_path: Path,
) -> None:
    name = "pfs-redmr-2024-07-14"
    shipped = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    curve = shipped.split('throughput = "')[1].partition('"')[0]
    for file in (f"{name}.toml", curve):
        (tmp_path / file).write_bytes((FOLDER / file).read_bytes())
    grid = tmp_path / "grid.zarr"
    (grid / "flux_normalized" / "c").mkdir(parents=True)
    (grid / "zarr.json").write_text("{}")
    (tmp_path / "band.ecsv").write_text("a")
    sets = [f"instrument.name='{tmp_path}/{name}.toml'", f"stellar.grid='{grid}'",
            f"stellar.band='{tmp_path}/band.ecsv'"]  # fmt: skip
    place, server = Place(str(tmp_path / "data"), tmp_path / "tables", *sets), Server()
    place.looks(server, 1)
    for changed in (f"{name}.toml", curve, "grid.zarr/zarr.json", "band.ecsv"):
        with (tmp_path / changed).open("a") as file:
            file.write("\n")
    changes = {(one.of, one.place.name) for one in place.looks(server)}
    assert changes == {
        ("instrument.name", f"{name}.toml"), ("instrument.name", curve),
        ("stellar.grid", "zarr.json"), ("stellar.band", "band.ecsv"),
    }  # fmt: skip


def test_a_grid_behind_a_url_is_looked_at_and_what_was_seen_may_be_kept_behind_one(
    tmp_path: Path,
) -> None:
    far, server = Location.of("memory://watching"), Server()
    (grid := far / "grid.zarr" / "zarr.json").filesystem()[0].makedirs("/watching/grid.zarr")
    write_bytes(grid, b"one")
    place = Place(str(far / "data"), tmp_path / "tables", f"stellar.grid='{grid.parent}'")
    assert place.looks(server) == []
    write_bytes(grid, b"two")
    (change,) = place.looks(server)
    assert change.place == grid and server.told[0]["of"] == "stellar.grid"
    assert (far / "data/watches/tiny").names() == ["seen.json"]


def test_a_look_that_fails_is_told_once_and_tried_again(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    good = "[deploy]\nwatch_s = 7.0\n[dataset]\nn_train = 5\n"
    contents = [good, "[deploy", "[deploy", good, "[deploy]\nwatch_s = 8.0\n", good]
    looked, pauses = [], []

    class Stop:
        def wait(self, seconds: float) -> bool:
            pauses.append(seconds)
            if len(pauses) < len(contents):
                file.write_text(contents[len(pauses)])
            return len(pauses) == len(contents)

    def look(config: Config) -> None:
        looked.append(config.deploy.watch_s)
        if len(looked) == 2:
            raise ConnectionError("no route")

    monkeypatch.setattr(watching, "tell_changes", look)
    file.write_text(contents[0])
    watch(str(file), [], Stop())  # type: ignore[arg-type]
    assert looked == [7.0, 7.0, 8.0, 7.0] and pauses == [7.0, 7.0, 7.0, 7.0, 8.0, 7.0]
    told = [text.partition(": ")[2] for text in caplog.messages if "could not be looked at" in text]
    assert len(told) == 2 and told[1] == "no route"


def test_deploy_stays_to_watch_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[str] = []
    stand_in = SimpleNamespace(register=lambda *_: [])  # the real one loads Prefect
    monkeypatch.setitem(sys.modules, "flows.deployment", stand_in)
    monkeypatch.setattr(watching, "watch", lambda source, *_: watched.append(source))
    assert run_program(["deploy", "tiny"]) == 0 and watched == []
    assert run_program(["deploy", "tiny", "--watch"]) == 0 and watched == ["tiny"]


def test_files_are_watched_as_long_as_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def watch(source: str, overrides: list[str], stop: threading.Event) -> None:
        assert (source, overrides) == ("tiny", ["a=1"])
        begun.set()
        if stop.wait(20.0):
            ended.set()

    monkeypatch.setattr(watching, "watch", watch)
    with pytest.raises(KeyError), watching.watched("tiny", ["a=1"]):
        assert begun.wait(20.0) and not ended.is_set()
        raise KeyError
    assert ended.wait(20.0)
