from pathlib import Path

import pytest

from simlib.location import Location
from trainlib import runs
from trainlib.config import TrainingConfig


def config_of(**train) -> TrainingConfig:
    return TrainingConfig.model_validate({"train": train, "storage": {"root": "./data"}})


def test_a_run_is_named_after_its_dataset_and_fingerprint():
    config = config_of()
    identity = runs.run_fingerprint(config, "abc")
    assert runs.run_directory(config, "abc").path == Path.cwd() / f"data/runs/demo-{identity}"


@pytest.mark.parametrize("runs_folder", ["elsewhere", "{there}/elsewhere"])
def test_a_run_is_kept_in_the_folder_of_runs_that_is_asked_for(runs_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(runs=runs_folder.format(there=tmp_path))
    name = runs.run_directory(config_of(), "abc").path.name
    assert runs.run_directory(config, "abc").path == tmp_path / "elsewhere" / name


def test_another_dataset_makes_another_run():
    assert runs.run_fingerprint(config_of(), "abc") != runs.run_fingerprint(config_of(), "abd")


def test_the_version_of_the_training_is_part_of_its_fingerprint(monkeypatch):
    before = runs.run_fingerprint(config_of(), "abc")
    monkeypatch.setattr(runs, "TRAINING_VERSION", runs.TRAINING_VERSION + 1)
    assert runs.run_fingerprint(config_of(), "abc") != before


@pytest.mark.parametrize(("mode", "is_another"), [("virtual", False), ("endless", True)])
def test_only_training_without_end_makes_another_run_of_the_same_dataset(mode, is_another):
    config = TrainingConfig.model_validate({"dataset": {"mode": mode}})
    other = TrainingConfig.model_validate({"dataset": {"mode": "stored"}})
    same = runs.run_fingerprint(config, "abc") == runs.run_fingerprint(other, "abc")
    assert same != is_another


def test_a_run_of_a_remote_root_is_there_too_with_the_options_of_its_file_system():
    storage = {"root": "s3://bucket/x", "options": {"anon": True}}
    run = runs.run_directory(TrainingConfig.model_validate({"storage": storage}), "abc")
    assert run.parent == Location.of("s3://bucket/x/runs", {"anon": True})


def test_importing_the_package_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, trainlib; print('torch' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.strip() == "False"
