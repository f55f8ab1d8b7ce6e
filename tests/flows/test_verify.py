"""The verb `verify`: a line where all is well, each problem else, and the exit code says which."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import run_program
from simlib.dataset import verify
from tests.simlib.dataset.made import make_plan, make_published


def test_a_whole_dataset_is_told_in_two_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_published(tmp_path, make_plan())
    assert run_program(["verify", str(tmp_path)]) == 0
    first, second, third = capfd.readouterr().out.splitlines()
    assert first == f"dataset {folder}"
    assert second.startswith("27 spectra in 4 blocks, ")
    assert third == "all is as it was written"


def test_each_problem_is_a_line_and_the_way_out_the_last(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_published(tmp_path, make_plan()).path
    gone = ["spectra.zarr/train/flux/c/1/0", "parts/plan.json"]
    for name in gone:
        (folder / name).unlink()
    assert run_program(["verify", str(folder)]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[2:4] == [f"{name} is not there" for name in reversed(gone)]
    assert "specdenoise build CONFIG --repair" in lines[4]
    assert run_program(["verify", str(folder), "--json"]) == 1
    assert len(json.loads(capfd.readouterr().out)["problems"]) == 2


def test_as_many_threads_read_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_published(tmp_path, make_plan())
    seen, good = [], verify.ThreadPoolExecutor

    def made(threads: Any) -> Any:
        seen.append(threads)
        return good(threads)

    monkeypatch.setattr(verify, "ThreadPoolExecutor", made)
    assert run_program(["verify", str(tmp_path), "--threads", "3"]) == 0
    assert seen == [3]
