"""The wheel carries its data: an installed program needs no checkout, and the tool no more than its
extra brings."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import trainlib
from simlib.config import load_config
from simlib.location import Location
from simlib.parameters import as_table
from simlib.simulation.spectra_file import write_spectra
from simlib.simulation.targets import simulate_targets
from tests.simlib.dataset.toy_build import build
from tests.simlib.simulation.test_pfs_object import TARGETS, TOY
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.onsky.batch import denoise

ROOT = Path(__file__).resolve().parents[1]
DATA = {".toml", ".csv", ".npz", ".xz", ".json", ".html", ".typed"}
ABSENT = ("torch", "prefect", "dask", "distributed", "bokeh", "h5py", "s3fs", "fastapi")
UNREACHED = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError")
MODEL = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what is tracked, and nothing beside it."""
    place = tmp_path_factory.mktemp("wheel") / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout.decode()
    for name in tracked.split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((ROOT / name).read_bytes())
    return place


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(source.parent), str(source)],
        check=True, capture_output=True, timeout=280,
    )  # fmt: skip
    (found,) = source.parent.glob("*.whl")
    return found


@pytest.mark.slow
def test_a_wheel_holds_every_data_file_of_the_packages(source: Path, wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(source).as_posix()
        for package in ("simlib", "trainlib", "flows")
        for path in (source / package).rglob("*")
        if path.suffix in DATA | {".py"}
    }
    assert wanted
    assert wanted <= inside
    assert not any(name.startswith(("tests/", "infra/")) for name in inside)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tool_alone_is_installed_anew_and_denoises_with_polish(
    wheel: Path, tmp_path: Path
) -> None:
    rows = ("dataset.mode=virtual", "dataset.n_train=48", "dataset.n_validation=24")
    config = toy_config(tmp_path, MODEL, recipe="C", batch_size=16, epochs=4)
    run = train_here(config, str(build(tmp_path / "set", *rows)), tmp_path / "run")
    bundle = trainlib.export(run, tmp_path / "bundle")
    columns = {name: np.array(values) for name, values in TARGETS.items()}
    targets = as_table(columns | {"interpolated_axis": np.full(2, -1, np.int8)}, np.arange(2))
    settings = load_config("tiny", TOY)
    write_spectra(simulate_targets(targets, settings), tmp_path / "stars", "pfs", settings)
    files = sorted((tmp_path / "stars").iterdir())
    here = denoise(
        trainlib.load_bundle(bundle), [Location.of(file) for file in files],
        Location.of(tmp_path / "here"),
    )  # fmt: skip

    bare = {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "SPECDENOISE", "VIRTUAL_ENV", "NUMBA"))}  # fmt: skip
    bare |= {"SPECDENOISE_CACHE": str(tmp_path / "cache")}
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint",
         ROOT / "requirements.lock", f"specdenoise[denoise] @ {wheel.as_uri()}"],
        cwd=tmp_path, env=bare, text=True, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    if any(word in installed.stderr for word in UNREACHED):
        pytest.skip("no package index answers")
    assert installed.returncode == 0, installed.stderr
    code = f"from importlib.util import find_spec; print([n for n in {ABSENT} if find_spec(n)])"
    found = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=bare, text=True, capture_output=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "[]"
    done = subprocess.run(
        [python.with_name("specdenoise"), "denoise", *files, "--bundle", bundle.path, "--out",
         "there", "--json"],
        cwd=tmp_path, env=bare, text=True, capture_output=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["not_polished"] == ""
    there = [one["spectra"][0] for one in told["files"]]
    assert "polish" in [row["source"] for row in there]
    for mine, row in zip(here, there, strict=True):
        assert row["source"] == mine.rows[0]["source"]
        with (
            fits.open(mine.written.path) as one,
            fits.open(tmp_path / "there" / mine.written.name) as other,
        ):
            scale = np.median(one["DENOISED"].data)
            assert np.allclose(one["DENOISED"].data, other["DENOISED"].data, atol=1e-4 * scale)
