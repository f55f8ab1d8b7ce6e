"""The verbs of a dataset's life on the command line: what is printed, what is left, exit codes."""

import json
from pathlib import Path

import pytest

from flows.cli import run_program
from simlib.artifact import write_record
from simlib.location import Location
from tests.simlib.dataset.versions import finished, trained_on, unfinished
from trainlib.release import Part, Release


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with one version of each kind."""
    for day, letter in enumerate("abcd", start=1):
        finished(tmp_path, letter, day)
    trained_on(tmp_path / "runs/on-b", "b" * 16)
    trained_on(tmp_path / "elsewhere/on-c", "c" * 16)
    unfinished(tmp_path, "e", 30)
    unfinished(tmp_path, "f", 1)
    return tmp_path


def left(root: Path) -> str:
    return "".join(sorted(path.name[0] for path in (root / "datasets/demo").glob("?" * 16)))


@pytest.mark.parametrize(
    ("words", "remaining"),
    [
        ([], "bdf"),
        (["--keep", "1"], "bcdf"),
        (["--older-than", "0.5"], "bd"),
        (["--older-than", "40"], "bdef"),
        (["--runs", "{root}/elsewhere"], "bcdf"),
        (["--used"], "df"),
    ],
    ids=" ".join,
)
def test_prune_removes_only_when_told(
    root: Path, words: list[str], remaining: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prune", str(root), *(word.format(root=root) for word in words)]
    assert run_program(command) == 0
    out = capsys.readouterr().out
    going = {Path(line.split()[1]).name[0] for line in out.splitlines() if line[:4] == "goes"}
    assert going == set("abcdef") - set(remaining)
    assert out.splitlines()[-1].endswith("MB; nothing was removed, --yes does it")
    assert left(root) == "abcdef"
    assert run_program([*command, "--yes"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{len(going)} of {len(going)} removed, ")
    assert left(root) == remaining
    assert run_program([*command, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to prune"


def test_prune_tells_programs_what_it_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["prune", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_dry_run"] is True and found["removed"] == []
    assert {Path(one["place"]).name[0]: one["kind"] for one in found["goes"]} == {
        "a": "old version", "c": "old version", "e": "unfinished version",
    }  # fmt: skip
    for one in found["goes"]:
        files = [path for path in Path(one["place"]).rglob("*") if path.is_file()]
        assert one["bytes"] == sum(path.stat().st_size for path in files)
    assert found["bytes"] == sum(one["bytes"] for one in found["goes"])
    assert run_program(["prune", str(root), "--json", "--yes"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["is_dry_run"] is False
    assert done["removed"] == [one["place"] for one in found["goes"]]


def test_a_run_that_cannot_be_read_keeps_all_that_is_finished(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "runs/on-b/manifest.json").write_text("{")
    assert run_program(["prune", str(root), "--yes"]) == 0
    assert "what run on-b was trained on is not known" in capsys.readouterr().out
    assert left(root) == "abcdf"


def test_prune_of_a_folder_of_something_else_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for place in (tmp_path, tmp_path / "nothing"):
        assert run_program(["prune", str(place), "--yes"]) == 2
        assert "holds neither datasets/ nor terms/ nor runs/" in capsys.readouterr().err
    assert run_program(["prune", str(tmp_path), "--keep", "-1"]) == 2


@pytest.mark.parametrize("more", [[], ["--used"]])
def test_what_a_release_names_stays(more: list[str], root: Path) -> None:
    for number, letter in enumerate("ac", start=1):
        dataset = Part(place="there", fingerprint=letter * 16)
        record = Release(number=number, made="", dataset=dataset, run=None, bundle=None,
                         provenance={})  # fmt: skip
        write_record(Location.of(root / f"releases/x/00000{number}.json"), record)
    assert run_program(["prune", str(root), "--yes", *more]) == 0
    assert left(root) == ("abcdf" if not more else "acdf")
