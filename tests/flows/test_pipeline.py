"""Mistakes that show only when a stage runs: told once, nothing published."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows import building, pipeline, stages
from flows.config import load_config
from simlib.dataset.open import open_dataset
from simlib.errors import InputError


def program(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        capture_output=True, text=True, timeout=280, check=False, cwd=folder,
    )  # fmt: skip


@pytest.mark.slow
def test_a_mistake_within_a_stage_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    done = program(["build", "tiny", "--set", "stellar.band=hsc2017-z"], tmp_path)
    assert done.returncode == 2, done.stderr
    assert "reaches beyond the shifted templates" in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("data/datasets/tiny/*"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stellar.grid=/no/such/grid", "/no/such/grid"),
        pytest.param("stellar.teff=[3000, 5000]", "leaves the grid's axis", marks=pytest.mark.slow),
        pytest.param(
            "dataset.chunk=7", "dataset.chunk = 7 does not divide", marks=pytest.mark.slow
        ),
        ("cluster.address='tcp://127.0.0.1:1'", "no Dask scheduler answers"),
        pytest.param(
            "normalize.window_nm=[900, 950]", "holds no pixel of the arm", marks=pytest.mark.slow
        ),
    ],
)
def test_a_dataset_that_cannot_be_made_is_refused_and_nothing_is_left(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cluster._CONNECT_SECONDS", 2)
    config = load_config("tiny", [f"storage.root='{tmp_path}'", override])
    terms = stages.etc_grid.fn(config)
    with pytest.raises(InputError, match=message):
        stages.build_dataset.fn(config, terms)
    assert not list(tmp_path.glob("datasets/tiny/*/manifest.json"))
    assert not list(tmp_path.glob("datasets/tiny/*/spectra.zarr"))


def test_threads_of_this_process_build_the_tiny_dataset(tmp_path: Path) -> None:
    config = load_config("tiny", [f"storage.root='{tmp_path}'", "cluster.kind=threads"])
    folder = stages.build_dataset.fn(config, stages.etc_grid.fn(config))
    assert open_dataset(folder, "validation").sizes["spectrum"] == 48
    assert stages.build_dataset.fn(config, "not needed again") == folder


@pytest.mark.parametrize("name", ["specdenoise", "build", "train", "refresh"])
def test_a_secret_never_reaches_the_orchestrator(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(building, "building", lambda *given: begun.append(given))
    for flow in ("workflow", "training", "refreshing"):
        monkeypatch.setattr(pipeline, flow, lambda *given: begun.append(given))
    with pytest.raises(InputError, match="looks like a secret") as error:
        getattr(building if name == "build" else pipeline, name)(
            "tiny", ["storage.options.secret=hunter2"]
        )
    assert begun == [] and "hunter2" not in str(error.value)
