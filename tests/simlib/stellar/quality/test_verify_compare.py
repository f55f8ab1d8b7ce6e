"""Verification finds a changed bit by its node; comparison tells what differs."""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import xarray as xr
import zarr
from matplotlib.figure import Figure

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar import open_grid
from simlib.stellar.quality.compare import compare_grids
from simlib.stellar.quality.coverage_figure import draw_coverage
from simlib.stellar.quality.resolution import degrade
from simlib.stellar.quality.verify import verify_grid
from simlib.stellar.store import write_grid
from simlib.stellar.toy import toy_flux


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "toy.zarr"
    write_grid(str(path), open_grid("toy"))
    return path


@pytest.mark.parametrize("name", ["default", "toy"])
def test_our_own_grids_verify(name: str) -> None:
    result = verify_grid(open_grid(name))
    assert (result.damaged, result.problems) == ([], [])
    assert result.nodes == open_grid(name)["present"].size


def test_a_stored_grid_is_the_grid(stored: Path) -> None:
    difference = compare_grids(open_grid("toy"), open_grid(stored))
    assert difference.is_same
    assert max(node.largest for node in difference.nodes) == 0
    assert verify_grid(open_grid(stored)).problems == []


def test_a_changed_node_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "toy.zarr")
    write_grid(path, open_grid("toy"))
    group = zarr.open_group(path, mode="r+")
    group["flux_normalized"][1, 2, 3, 0, 9] = 0.5
    result = verify_grid(open_grid(path))
    assert result.damaged == [{"teff": 4000.0, "logg": 3.5, "feh": 0.75, "alpha": -0.25}]


def test_a_changed_mask_breaks_the_checksum(tmp_path: Path) -> None:
    path = str(tmp_path / "toy.zarr")
    write_grid(path, open_grid("toy"))
    zarr.open_group(path, mode="r+")["present"][0, 0, 0, 0] = False
    with pytest.raises(InputError, match="axes, wavelengths, mask or digests are not those"):
        open_grid(path)
    grid = open_grid("toy")
    grid["present"].values[0, 0, 0, 0] = False
    assert any("are not those of the checksum" in p for p in verify_grid(grid).problems)


def test_nan_in_a_present_node_is_a_problem() -> None:
    grid = open_grid("toy")
    grid["flux_normalized"].values[0, 1, 2, 3, 5] = np.nan
    assert verify_grid(grid).problems == ["1 present nodes hold NaN at teff 3500, logg 1.5"]


def test_comparison_lists_axes_holes_attributes_and_nodes() -> None:
    a, b = open_grid("toy"), open_grid("toy").isel(teff=slice(0, 3)).copy(deep=True)
    b["present"].values[0, 0, 0, 0] = False
    b["flux_normalized"].values[2, 1, 1, 1] += np.float32(0.01)
    b.attrs["version"] = "2"
    difference = compare_grids(a, b)
    assert not difference.is_same
    assert difference.axes == {"teff": {"only_in_a": [5000.0], "only_in_b": []}}
    assert difference.only_in_a == [{"teff": 3500.0, "logg": 0.0, "feh": -2.5, "alpha": -0.25}]
    assert difference.only_in_b == []
    assert difference.attrs == {"version": ["1", "2"]}
    worst = difference.nodes[0]
    assert worst.node == {"teff": 4500.0, "logg": 1.5, "feh": -1.5, "alpha": 0.0}
    assert worst.rms == pytest.approx(0.01, rel=1e-4)
    assert difference.nodes[1].rms == 0


def test_comparison_resamples_other_wavelengths() -> None:
    a = open_grid("toy")
    wavelength = np.geomspace(700.0, 905.0, 12001)
    mesh = np.meshgrid(*(a[name].values for name in AXES), indexing="ij")
    flux = toy_flux(wavelength, *(values[..., None] for values in mesh))
    b = a.drop_vars(["flux_normalized", "wavelength_model"]).assign(
        flux_normalized=((*AXES, "wavelength_model"), flux), wavelength_model=wavelength
    )
    difference = compare_grids(a, b)
    assert difference.wavelengths.startswith("B on ")
    assert not difference.is_same
    assert difference.nodes[0].largest < 1e-3


def test_grids_without_common_wavelengths_are_refused() -> None:
    a = open_grid("toy")
    with pytest.raises(InputError, match="the grids share no wavelengths"):
        compare_grids(a, a.assign_coords(wavelength_model=a["wavelength_model"] + 500))


def test_coverage_figure_says_what_is_missing(tmp_path: Path) -> None:
    grid = open_grid("toy")
    grid["present"].values[0, 0] = False
    path = tmp_path / "coverage.svg"
    draw_coverage(grid, path)
    text = path.read_text(encoding="utf-8")
    assert "<svg" in text[:1000]
    words = re.findall("<!-- (.*?) -->", text)
    version = grid.attrs["version"]
    assert f"toy {version}: 240 nodes, 16 missing" in words and words.count("−4") == 4
    assert {"log g", "Teff [K]", "share of [M/H] nodes present", "[α/M] = -0.25"} <= set(words)


def test_a_figure_is_whole_or_the_one_before_and_its_ending_a_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, path = open_grid("toy"), tmp_path / "coverage.png"
    draw_coverage(grid, path)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"coverage\.foo ends in no format of figures; known: .*\.png"
    ):
        draw_coverage(grid, tmp_path / "coverage.foo")

    def break_off(self: Figure, file: BinaryIO, **options: object) -> None:
        file.write(b"half")
        raise OSError("the disk is gone")

    monkeypatch.setattr(Figure, "savefig", break_off)
    with pytest.raises(OSError, match="the disk is gone"):
        draw_coverage(grid, path)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {path.name: before}


def test_degrading_widens_a_line_by_the_quadrature_difference() -> None:
    wavelength = np.exp(np.arange(np.log(700.0), np.log(720.0), 1 / 100_000))
    sigma = 710.0 / 20000 / 2.35482
    line = 1 - 0.5 * np.exp(-0.5 * ((wavelength - 710.0) / sigma) ** 2)
    wide = 1 - degrade(line, wavelength, 20000, 5000)
    assert np.trapezoid(wide, wavelength) == pytest.approx(
        np.trapezoid(1 - line, wavelength), rel=1e-4
    )
    variance = np.sum(wide * (wavelength - 710.0) ** 2) / np.sum(wide)
    assert np.sqrt(variance) == pytest.approx(710.0 / 5000 / 2.35482, rel=1e-3)


def test_degrading_to_a_higher_resolution_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be brought to 30000"):
        degrade(np.ones(10), np.geomspace(700, 701, 10), 20000, 30000)
    with pytest.raises(InputError, match="not uniform in their logarithm"):
        degrade(np.ones(3), np.array([700.0, 701.0, 705.0]), 20000, 5000)


def test_a_folder_that_is_no_grid_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zarr"
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(path, zarr_format=3)
    with pytest.raises(InputError, match="is no stellar grid: .*format_version: Field required"):
        open_grid(path)
