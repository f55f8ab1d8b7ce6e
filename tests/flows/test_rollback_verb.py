"""The verb `rollback`: one step back under a root, a folder or a URL."""

import json
from pathlib import Path

import fsspec
import pytest

from flows.cli import run_program
from simlib.location import Location
from tests.flows.test_every_option import Shut
from tests.simlib.dataset.made import make_plan, make_published
from tests.trainlib.test_release import NAME
from tests.trainlib.test_rollback import released
from trainlib.release import release


def test_the_verb_goes_back_one_step_under_a_root(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    released(tmp_path / "data", "a", "b", "c")
    monkeypatch.chdir(tmp_path)
    assert run_program(["rollback", NAME]) == 0
    told = capfd.readouterr().out
    assert told.startswith("release 4: ../../datasets/d/") and told.endswith("/runs/b\n")
    monkeypatch.chdir("/")
    assert run_program(["rollback", NAME, "--root", f"{tmp_path}/data", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["number"] == 5 and found["run"]["place"] == "../../runs/a"
    assert run_program(["rollback", "other", "--root", f"{tmp_path}/data"]) == 2
    assert "nothing of the name 'other' is released" in capfd.readouterr().err


def test_a_root_behind_a_door_is_opened_by_the_option(capfd: pytest.CaptureFixture[str]) -> None:
    fsspec.register_implementation("shut", Shut, clobber=True)
    Shut.store.clear()
    root = Location.of("shut://root", {"door": "open"})
    make_published(root / "datasets/d", make_plan())
    for bundle in "ab":
        release(root, NAME, root / "datasets/d", None, (root / "bundles" / bundle, bundle * 16))
    words = ["rollback", NAME, "--root", "shut://root"]
    assert run_program(words) == 2
    assert "the door is shut" in capfd.readouterr().err
    assert run_program([*words, "--storage-option", "door=open"]) == 0
    assert capfd.readouterr().out.endswith("/bundles/a\n")
