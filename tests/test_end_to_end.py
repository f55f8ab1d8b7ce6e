"""The whole workflow, tiny: from an empty folder to a report, on two ranks, and again."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from flows.cli import run_program
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from trainlib.config import Evaluate
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.floor import information_floor
from trainlib.evaluation.results import read_results
from trainlib.runs import read_config

RANKS = 2


def program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        capture_output=True, text=True, timeout=280, check=False, cwd=folder,
    )  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a run of the program in this process came to: as a process, without its start."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(
    trained: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    monkeypatch.chdir(trained[0])

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        code = run_program(list(arguments))
        told = capfd.readouterr()
        return Done(code, told.out, told.err)

    return run


def all_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("workflow")
    done = program(folder, "train", "tiny", "--set", f"train.ranks={RANKS}")
    assert done.returncode == 0, done.stderr
    return folder, Path(folder / done.stdout.strip().splitlines()[-1])


def test_training_on_two_ranks_leaves_a_complete_run(trained: tuple[Path, Path]) -> None:
    _, run = trained
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["outcome"]["is_finished"]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"epoch", "step", "loss", "validation_loss", "lr", "samples_per_s", "seconds"} <= set(
        lines[-1]
    )
    assert (run / "config.toml").is_file()
    assert list((run / "checkpoints").iterdir())


def test_a_run_is_judged_and_reported(
    trained: tuple[Path, Path], here: Callable[..., Done]
) -> None:
    _, run = trained
    judged = here("evaluate", str(run), "--json")
    assert judged.returncode == 0, judged.stderr
    result = json.loads(judged.stdout)
    assert result["augmentation"] == "on"
    assert sum(interval["count"] for interval in result["bins"]) == 48
    assert {"none", "smoothing", "pca", "wiener", "dae"} <= set(result["bins"][1]["methods"])
    for one in (result, result["augmentation_off"]):
        assert all(part["limit_count"] == part["count"] for part in one["bins"])
        known = [part for part in one["bins"] if part["count"]]
        assert all(0 < part["floor_thread"] < part["floor"] for part in known)
        assert all(part["eta"] > 0.9 for part in known)  # no network is better than what can be
    told = here("evaluate", str(run))
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.strip().splitlines()) == len(result["bins"])
    assert not all(interval["count"] for interval in result["bins"])  # empty ones are told too
    reported = here("report", str(run))
    assert reported.returncode == 0, reported.stderr
    page = Path(reported.stdout.strip().splitlines()[-1]).read_text()
    outside = re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert "<html" in page and not re.search(r"""(src|href)=["']?(https?:)?//""", outside)


def test_so_many_spectra_are_compared_with_their_limit(trained: tuple[Path, Path]) -> None:
    """The same ones that the information limit is asked of alone."""
    folder, run = trained
    judged = evaluate(run, section=Evaluate(limit_spectra=7))
    assert sum(part["limit_count"] for part in judged["bins"]) == 7
    results, config = read_results(run), read_config(run)
    dataset = folder / "data/datasets/tiny"
    recipe, _ = recipe_of(*published_dataset(dataset))
    rows = open_dataset(str(dataset), "validation").isel(spectrum=slice(7))
    limits = information_floor(rows, recipe, config.augment, 0.02)
    for found, limit in zip((results.on, results.off), limits, strict=True):
        assert np.array_equal(found["floor"].values[:7], limit.whole)
        assert np.array_equal(found["floor_thread"].values[:7], limit.thread)
        assert np.isnan(found["floor"].values[7:]).all()


@pytest.mark.slow
def test_running_again_does_nothing_again(trained: tuple[Path, Path]) -> None:
    folder, run = trained
    before = all_files(folder / "data" / "datasets"), all_files(run / "checkpoints")
    again = program(folder, "train", "tiny", "--set", f"train.ranks={RANKS}")
    assert again.returncode == 0, again.stderr
    assert (all_files(folder / "data" / "datasets"), all_files(run / "checkpoints")) == before


def test_the_published_dataset_is_the_one_of_the_run(trained: tuple[Path, Path]) -> None:
    folder, _ = trained
    assert open_dataset(str(folder / "data/datasets/tiny"), "train").sizes["spectrum"] == 96


@pytest.mark.slow
def test_the_dataset_serves_a_run_without_end_beside_the_other(trained: tuple[Path, Path]) -> None:
    folder, run = trained
    before = all_files(folder / "data" / "datasets"), all_files(run / "checkpoints")
    options = ("--set", f"train.ranks={RANKS}", "--set", "dataset.mode=endless")
    done = program(folder, "train", "tiny", *options)
    assert done.returncode == 0, done.stderr
    endless = Path(folder / done.stdout.strip().splitlines()[-1])
    assert endless != run
    assert (all_files(folder / "data" / "datasets"), all_files(run / "checkpoints")) == before
    judged = program(folder, "evaluate", str(endless), "--json")
    assert judged.returncode == 0, judged.stderr
    resumed = program(folder, "train", "tiny", "--resume", *options)
    assert resumed.returncode == 0 and resumed.stdout == done.stdout


def test_a_damaged_run_is_a_mistake_told_in_one_message(
    trained: tuple[Path, Path], here: Callable[..., Done]
) -> None:
    _, run = trained
    damaged = shutil.copytree(run, run.with_name("damaged"))
    (damaged / "checkpoints" / "last.pt").write_bytes(b"")
    done = here("evaluate", str(damaged))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "last.pt is not a checkpoint" in done.stderr
    shutil.rmtree(damaged)


@pytest.mark.slow
def test_a_root_that_was_moved_goes_on_where_it_is(trained: tuple[Path, Path]) -> None:
    folder, run = trained  # the last test on them: it moves them
    checkpoint = (run / "checkpoints" / "last.pt").read_bytes()
    moved = (folder / "data").rename(folder / "elsewhere")
    run = moved / "runs" / run.name
    shutil.rmtree(run / "results.zarr", ignore_errors=True)
    judged = program(folder, "evaluate", str(run), "--json")
    assert judged.returncode == 0, judged.stderr
    reported = program(folder, "report", str(run))
    assert reported.returncode == 0, reported.stderr
    options = ("--set", f"train.ranks={RANKS}", "--set", f"storage.root='{moved}'")
    again = program(folder, "train", "tiny", *options)
    assert again.returncode == 0, again.stderr
    assert Path(again.stdout.strip().splitlines()[-1]) == run
    assert (run / "checkpoints" / "last.pt").read_bytes() == checkpoint
    assert not (folder / "data").exists()


@pytest.mark.slow
def test_the_whole_workflow_runs_without_stored_spectra(tmp_path: Path) -> None:
    sets = ["dataset.mode=endless", "dataset.n_train=600", "dataset.n_validation=64",
            "train.seconds=15", f"train.ranks={RANKS}", "model.rank=64"]  # fmt: skip
    done = program(tmp_path, "demo", *(part for value in sets for part in ("--set", value)))
    assert done.returncode == 0, done.stderr
    assert "<html" in Path(done.stdout.strip().splitlines()[-1]).read_text()
    assert not list((tmp_path / "data" / "datasets").rglob("spectra.zarr"))
