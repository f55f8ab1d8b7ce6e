"""What is to be done for a config is told stage by stage, and where it is nothing, at once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import building, pipeline
from flows.claim import Refresh
from flows.cli import run_program
from flows.config import load_config
from flows.due import dues, refresh_dues, standing_dataset, standing_report, standing_run
from simlib.location import Location
from tests.trainlib.test_due import config_at, whole
from trainlib import runs
from trainlib.release import release

__all__ = ["whole"]
Verb = Callable[..., tuple[int, str]]
REFRESHED = Refresh(number=1, token="t", host="h", process=1, began="", renewed=0.0,
                    outcome="ran refresh")  # fmt: skip


def release_as_it_is(config: str, run: Path) -> None:
    """Release what was made, so that nothing of a refresh is due."""
    settings = load_config(config)
    folder = settings.root / "datasets" / settings.dataset.name
    release(settings.root, settings.dataset.name, folder, Location.of(run))


@pytest.fixture(scope="module")
def settings(whole: tuple[Path, Location]) -> tuple[str, Path]:
    """Return a config file of what was made, judged and reported, and its run."""
    root, folder = whole
    run = runs.run_directory(config_at(root), folder.name).path
    return str(run / "config.toml"), run


@pytest.fixture
def verb(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Return what runs the program in this process; a flow only says its name."""
    monkeypatch.setattr(building, "build", lambda *_: "ran build")
    monkeypatch.setattr(pipeline, "train", lambda *_: "ran train")
    monkeypatch.setattr(pipeline, "refresh", lambda *_: REFRESHED)

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = run_program(list(words))
        return code, capfd.readouterr().out

    return run


def test_where_nothing_is_due_each_verb_ends_with_what_is_there(
    settings: tuple[str, Path], verb: Verb
) -> None:
    config, run = settings
    release_as_it_is(config, run)
    page, dataset = str(run / "report.html"), load_config(config)
    assert not any(due.is_due for due in dues(dataset))
    assert not any(due.is_due for due in refresh_dues(dataset))
    assert verb("refresh", config) == (0, "nothing was due\n")
    told = {"outcome": "nothing was due", "stages": []}
    assert json.loads(verb("refresh", config, "--json")[1]) == told
    assert verb("train", config) == (0, f"{run}\n")
    assert verb("train", config, "--resume") == (0, f"{run}\n")
    code, told = verb("build", config)
    assert (code, Path(told.strip()).parent) == (0, Path(run).parents[1] / "datasets/tiny")
    assert (standing_report(config, ()), standing_run(config, ())) == (page, str(run))


@pytest.mark.parametrize(
    ("change", "expected"),
    [("dataset.seed=5", ["ran build", "ran train", "ran refresh"]),
     ("train.lr=0.25", ["there", "ran train", "ran refresh"]),
     ("evaluate.example_snr=31.0", ["there", "ran train", "ran refresh"])],
)  # fmt: skip
def test_what_is_due_is_done(
    change: str, expected: list[str], settings: tuple[str, Path], verb: Verb
) -> None:
    config, _ = settings
    for name, told in zip(("build", "train", "refresh"), expected, strict=True):
        code, out = verb(name, config, "--set", change)
        assert code == 0
        assert out.strip() == told or (told == "there" and "datasets/tiny" in out)


def test_repair_is_done_whatever_is_there(settings: tuple[str, Path], verb: Verb) -> None:
    assert verb("build", settings[0], "--repair") == (0, "ran build\n")


def test_explain_names_section_input_and_both_values(
    settings: tuple[str, Path], verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    config, _ = settings
    code, told = verb("refresh", config, "--explain", "--set", "noise.sky_subtraction=0.125")
    assert code == 0 and "ran" not in told
    (line,) = [line for line in told.splitlines() if "noise.sky_subtraction" in line]
    assert [part.strip() for part in line.strip("│").split("│")] == [
        "noise", "noise.sky_subtraction", "0.01", "0.125",
    ]  # fmt: skip
    lines = {line.strip("│ ").split(" ")[0]: line for line in told.splitlines()}
    assert (
        "to do" in lines["build-dataset"] and "another one is published" in lines["build-dataset"]
    )
    assert "to do" not in lines["etc-grid"]
    release_as_it_is(config, settings[1])
    assert verb("refresh", config, "--explain")[1].endswith("nothing is to be done\n")


def test_explain_as_json_is_the_stages(settings: tuple[str, Path], verb: Verb) -> None:
    config, _ = settings
    code, told = verb("refresh", config, "--dry-run", "--json", "--set", "train.lr=0.25")
    stages = json.loads(told)
    assert code == 0
    assert [stage["stage"] for stage in stages] == [
        "etc-grid", "build-dataset", "train", "evaluate", "report", "release",
    ]  # fmt: skip
    assert [stage["is_due"] for stage in stages] == [False, False, True, True, True, True]
    (change,) = stages[2]["changes"]
    assert (change["name"], change["new"]) == ("train.lr", 0.25)


def test_nothing_heavy_is_loaded_to_find_that_nothing_is_due(settings: tuple[str, Path]) -> None:
    config, run = settings
    release_as_it_is(config, run)
    code = (
        "import sys; from flows.cli import run_program\n"
        f"codes = [run_program([verb, {config!r}]) for verb in ('build', 'train', 'refresh')]\n"
        "heavy = {'torch', 'prefect', 'distributed', 'numba'}\n"
        "print(codes, heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          check=True)  # fmt: skip
    assert done.stdout.splitlines()[1:] == [str(run), "nothing was due", "[0, 0, 0] set()"]


def test_a_dataset_that_is_not_there_stands_for_nothing(tmp_path: Path) -> None:
    assert standing_dataset("tiny", [f"storage.root='{tmp_path}'"]) is None


def test_terms_that_no_dataset_waits_for_are_not_due(
    settings: tuple[str, Path], verb: Verb
) -> None:
    config, run = settings
    release_as_it_is(config, run)
    terms = run.parents[1] / "terms"
    aside = terms.rename(terms.with_name("aside"))
    try:
        assert verb("refresh", config, "--explain")[1].endswith("nothing is to be done\n")
        assert verb("refresh", config) == (0, "nothing was due\n")
        words = ("--explain", "--json", "--set", "dataset.seed=5")
        told = json.loads(verb("refresh", config, *words)[1])
        assert [stage["is_due"] for stage in told] == [True] * 6
    finally:
        aside.rename(terms)
