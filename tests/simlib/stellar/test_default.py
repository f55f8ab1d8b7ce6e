"""The embedded grid: size, expansion into the cache, agreement with its source."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simlib.stellar import open_grid
from simlib.stellar.default import package_files, read_index
from tests.paths import shared_data_folder

OPEN = "from simlib.stellar import open_grid; print(float(open_grid().flux_normalized[6,3,2,1,7]))"


def test_package_data_stays_small() -> None:
    total = sum(len(f.read_bytes()) for f in package_files().iterdir() if f.is_file())
    assert total <= 20e6


def test_default_reproduces_its_source_to_a_sixteenth_of_a_thousandth() -> None:
    source = shared_data_folder("grid")
    from infra.grids.embed import read_source_flux

    grid = open_grid()
    step = json.loads((source / "index.json").read_text())["step"]
    for i, teff in enumerate(grid["teff"].values):
        fine = read_source_flux(source, teff, grid["flux_normalized"].shape[1:])
        worst = np.abs(grid["flux_normalized"][i].values - fine).max()
        assert worst <= 0.5 / 8000 + 1e-7  # steps of 1/8000 (and the float32 that holds them)
    assert step == pytest.approx(1 / 40000)
    arrays = np.load(source / "axes.npz")
    np.testing.assert_array_equal(grid["continuum"].values, arrays["continuum"])
    np.testing.assert_allclose(
        grid["wavelength_model"] * 10, arrays["wavelength_vacuum_angstrom"], rtol=1e-14
    )


def test_all_nodes_of_the_papers_ranges_are_there() -> None:
    grid = open_grid()
    assert grid["present"].values.all()
    assert grid["present"].size == 1344
    for name, low, high in (("teff", 3500, 5000), ("logg", 0, 5), ("feh", -2.5, 0.75)):
        assert (grid[name].values[0], grid[name].values[-1]) == (low, high)
    assert list(grid["alpha"].values) == [-0.25, 0.0, 0.25, 0.5]


def test_first_opening_expands_and_later_ones_map(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))
    first = open_grid()
    monkeypatch.setattr("simlib.stellar.default.expanded", lambda _: pytest.fail("expanded again"))
    second = open_grid()
    suffixes = [path.suffix for path in sorted((tmp_path / "grids").iterdir())]
    assert suffixes == [".safetensors", ".lock"]
    assert np.array_equal(first["flux_normalized"][0, 0], second["flux_normalized"][0, 0])
    assert not second["flux_normalized"].variable.data.flags.writeable


@pytest.mark.slow
def test_several_processes_may_expand_at_once(tmp_path: Path) -> None:
    environment = {"SPECDENOISE_CACHE": str(tmp_path), "PATH": "/usr/bin:/bin"}
    children = [
        subprocess.Popen([sys.executable, "-c", OPEN], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = {child.communicate(timeout=120)[0] for child in children}
    assert len(answers) == 1
    assert [child.returncode for child in children] == [0, 0]
    assert not list((tmp_path / "grids").glob(".*"))


@pytest.mark.slow  # of any kept array: test_kept.py
def test_a_flipped_bit_in_the_cache_is_noticed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))
    whole = open_grid()["flux_normalized"].values.copy()
    (path,) = (tmp_path / "grids").glob("*.safetensors")
    data = np.memmap(path, dtype=np.uint8, mode="r+")
    data[len(data) // 2] ^= 1
    data.flush()
    os.utime(path)
    assert np.array_equal(open_grid()["flux_normalized"].values, whole)


def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_more(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shape = open_grid()["flux_normalized"].shape
    monkeypatch.setenv("SPECDENOISE_CACHE", str(blocked))
    monkeypatch.setattr("simlib.stellar.default.expanded", lambda _: np.ones(shape, np.float32))
    assert open_grid()["flux_normalized"].values.all()
    (warning,) = caplog.messages
    assert "Set SPECDENOISE_CACHE to a folder that you can write" in warning


def test_another_packed_grid_is_expanded_into_another_file(monkeypatch) -> None:
    """A newer version of the package must not take what an older one left in the cache."""
    asked: list[str] = []
    shape = open_grid()["flux_normalized"].shape

    def kept(kind: str, name: str, make: object) -> dict[str, np.ndarray]:
        asked.append(name)
        return {"flux_normalized": np.broadcast_to(np.float32(1.0), shape)}

    monkeypatch.setattr("simlib.stellar.default.kept_arrays", kept)
    index = read_index()
    for checksum in (index["attrs"]["checksum"], "0123456789abcdef"):
        changed = index | {"attrs": index["attrs"] | {"checksum": checksum}}
        monkeypatch.setattr("simlib.stellar.default.read_index", lambda changed=changed: changed)
        open_grid()
    assert len(set(asked)) == 2
