"""Datasets and runs by their names, what is listed of them, and what the shell completes."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.cli import run_program
from flows.cli.options import complete_config, complete_dataset, complete_run
from simlib.artifact import read_record, write_record
from simlib.location import Location
from tests.simlib.dataset.made import make_plan, make_published
from tests.simlib.dataset.versions import finished, trained_on, unfinished
from trainlib.named import run_named
from trainlib.release import Part, Release
from trainlib.runs import MANIFEST, RunManifest, State

OLD, NEW = "demo-" + "1" * 16, "demo-" + "2" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return `data` in the folder, with two datasets and three runs."""
    root = tmp_path / "data"
    finished(root, "a", 2)
    finished(root, "b", 1)
    unfinished(root, "e", 1, name="begun")
    for name, begun in ((OLD, "2026-01-01T00:00:00Z"), (NEW, "2026-01-02T00:00:00Z")):
        trained_on(root / "runs" / name, "b" * 16)
        change(root / "runs" / name, started=begun)
    change(root / "runs" / NEW, outcome=State(epoch=7, validation_loss=0.25))
    (root / "runs" / "notes").mkdir()
    return root


def change(run: Path, **values: object) -> None:
    place = Location.of(run / MANIFEST)
    manifest = read_record(place, RunManifest)
    assert manifest is not None
    write_record(place, manifest.model_copy(update=values))


def test_a_run_is_named_by_itself_or_by_its_dataset(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    here, runs = Location.of(root), Location.of(root) / "runs"
    assert run_named(OLD, here) == runs / OLD
    assert run_named(str(root / "runs" / OLD), here) == runs / OLD
    assert caplog.messages == []
    assert run_named("demo", here) == runs / NEW
    assert caplog.messages == [f"demo: run {NEW}, begun last of 2"]
    dataset = Part(place="../../datasets/demo/x", fingerprint="b" * 16)
    run = Part(place=f"../../runs/{OLD}", fingerprint="1" * 16)
    write_record(
        here / "releases/demo/000001.json",
        Release(number=1, made="", dataset=dataset, run=run, bundle=None, provenance={}),
    )
    assert run_named("demo", here) == runs / OLD
    assert caplog.messages[1:] == [f"demo: run {OLD}, which is released"]
    run = Part(place="../../../elsewhere/demo-3", fingerprint="1" * 16)  # by train.runs
    write_record(
        here / "releases/kept/000001.json",
        Release(number=1, made="", dataset=dataset, run=run, bundle=None, provenance={}),
    )
    assert run_named("kept", here) == here.parent / "elsewhere/demo-3"
    run_of_that_name = root / "runs/kept"
    run_of_that_name.mkdir()
    assert run_named("kept", here) == here.parent / "elsewhere/demo-3"
    (root / "runs" / OLD / MANIFEST).write_text("{")
    assert run_named(OLD, here) == runs / OLD


def test_the_run_begun_last_is_found_beside_one_that_cannot_be_read(root: Path) -> None:
    (root / "runs" / NEW / MANIFEST).write_text("{")
    assert run_named("demo", Location.of(root)).name == OLD


@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_a_name_of_no_run_is_refused_with_those_there_are(
    verb: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program([verb, "dem", "--root", str(root)]) == 2
    told = capsys.readouterr().err
    assert f"error: no run 'dem': neither a name in {root}/runs ({OLD}, {NEW}, notes)" in told


@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_a_run_is_looked_for_under_the_root(
    verb: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    took: list[str] = []

    def done(given: Location | list[Location], **_: Any) -> dict[str, list[str]]:
        took.extend(map(str, given if isinstance(given, list) else [given]))
        return {"bins": []}

    stand_in = SimpleNamespace(evaluate=done, write_report=done, report_numbers=done)
    monkeypatch.setitem(sys.modules, f"trainlib.evaluation.{verb}", stand_in)
    assert run_program([verb, "demo", "--root", str(root)]) == 0
    monkeypatch.chdir(root.parent)
    assert run_program([verb, OLD]) == 0
    assert took == [f"{root}/runs/{NEW}", f"{root}/runs/{OLD}"]


@pytest.mark.parametrize("words", [["verify"], ["dataset", "info"]], ids=" ".join)
def test_a_dataset_is_looked_for_under_the_root(
    words: list[str], root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make_published(root / "datasets" / "made", make_plan())
    assert run_program([*words, "made", "--root", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = str(root / "datasets/made/0123456789abcdef")
    assert folder in (told.get("dataset"), told.get("folder"))
    monkeypatch.chdir(root.parent)
    assert run_program([*words, "made", "--json"]) == 0
    assert run_program([*words, "mad"]) == 2
    assert "no dataset 'mad': neither a name in" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["inspect", "begun"], ["replay", "begun", "train", "0"]])
def test_verbs_that_look_inside_take_names_too(
    words: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_program([*words, "--root", str(root)])
    told = capsys.readouterr()
    if words[0] == "inspect":
        assert code == 0 and f"{root}/datasets/begun/{'e' * 16}" in told.out
    else:
        assert code == 2 and f"no dataset at {root}/datasets/begun" in told.err


def test_datasets_are_listed_with_their_versions(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "datasets/demo" / ("c" * 16)).mkdir()
    (root / "datasets/demo" / ("c" * 16) / "manifest.json").write_text("{")
    assert run_program(["dataset", "list", "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["fingerprint"][0], one["state"][:12]) for one in found] == [
        ("begun", "e", "not finished"), ("demo", "c", str(root)[:12]),
        ("demo", "b", "published"), ("demo", "a", "old"),
    ]  # fmt: skip
    assert found[2]["rows"] == {"train": 20, "validation": 7} and found[2]["bytes"] > 1000
    assert run_program(["dataset", "list", "--root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"demo  {'b' * 16}  published  stored  train 20, validation 7  ")
    assert lines[2].endswith("made 2026-01-01T00:00:00") and len(lines) == 4


def test_what_is_recorded_of_a_dataset_is_shown(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["dataset", "info", "begun", "--root", str(root), "--json"]) == 0
    begun = json.loads(capsys.readouterr().out)
    assert (begun["state"], begun["blocks_done"], begun["blocks"]) == ("not finished", 1, 4)
    assert run_program(["dataset", "info", "demo", "--root", str(root)]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert told["fingerprint"] == "b" * 16 and told["rows"] == "train 20, validation 7"
    assert told["made"] == "2026-01-01T00:00:00" and "host" not in told
    assert told["bytes"].endswith(" kB)")


def test_runs_are_listed_the_newest_last(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_on(root / "runs" / "bad", "b" * 16)
    (root / "runs/bad" / MANIFEST).write_text("{")
    assert run_program(["runs", "list", "--root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"bad  {root}/runs/bad/manifest.json is damaged")
    of = f"recipe B  dataset {'b' * 16}  begun"
    assert lines[1:] == [
        f"{OLD}  {of} 2026-01-01T00:00:00Z  not finished",
        f"{NEW}  {of} 2026-01-02T00:00:00Z  finished  7 epochs  validation loss 0.25000",
    ]
    assert run_program(["runs", "list", "--root", str(root), "--json"]) == 0
    assert [one["epochs"] for one in json.loads(capsys.readouterr().out)] == [None, None, 7]


@pytest.mark.parametrize("words", [["runs", "list"], ["dataset", "list"]], ids=" ".join)
def test_nothing_there_is_told(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program([*words, "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"no {words[0].rstrip('s')}s in {tmp_path}/")
    assert run_program([*words, "--root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_shell_completes_presets_files_and_names(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    for name in ("mine.toml", "other.toml", "notes.txt", ".hidden.toml"):
        (root.parent / name).write_text("")
    assert list(complete_config("")) == [
        "demo", "paper", "survey", "tiny", "data/", "mine.toml", "other.toml",
    ]  # fmt: skip
    assert list(complete_config("m")) == ["mine.toml"]
    assert list(complete_config("../" + root.parent.name + "/o")) == [
        f"../{root.parent.name}/other.toml"
    ]
    assert list(complete_dataset("d")) == ["demo", "data/"]
    assert list(complete_run("demo-1")) == [OLD]
    assert list(complete_run("data/runs/n")) == ["data/runs/notes/"]
    assert list(complete_run("nowhere/")) == []


@pytest.mark.slow
def test_a_shell_is_told_by_the_program_itself(root: Path) -> None:
    """As bash asks it, by its environment, in a process of its own."""
    asked = {"_SPECDENOISE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['specdenoise']; from flows.cli import main; main()"

    def answer(line: str) -> list[str]:
        environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path), "COMP_WORDS": line} | asked
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
            check=False, env=environment, cwd=root.parent,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    assert answer("specdenoise evaluate demo-2") == [NEW]
