"""What is seen of a dataset is what is in it, also while it is being written."""

import io
import os
import re
import shutil
from base64 import b64decode
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread

from simlib.artifact import write_record
from simlib.dataset import inspect_figure
from simlib.dataset.build import build_dataset
from simlib.dataset.find import find_dataset
from simlib.dataset.inspect import inspect, summary
from simlib.dataset.inspect_figure import PARTS, spectrum_title
from simlib.dataset.inspect_page import page, save_inspection
from simlib.dataset.named import dataset_named
from simlib.dataset.node_use import node_use
from simlib.dataset.open import open_dataset
from simlib.dataset.places import begun_in, plan_in, record_in
from simlib.dataset.plan import Block
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from simlib.stellar import open_grid
from tests.simlib.dataset.made import make_plan, make_store
from tests.simlib.dataset.toy_build import build, toy_config

AXES = ("teff", "logg", "feh", "alpha")
NO_PICTURES = dict.fromkeys(PARTS, b"")
GONE = ("train-00000032", "train-00000064", "train-00000288", "validation-00000000")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Location:
    return build(tmp_path_factory.mktemp("inspected"))


@pytest.fixture
def begun(built: Location, tmp_path: Path) -> Location:
    """Return a copy as it is while it is written: four of its eleven blocks are not there."""
    folder = tmp_path / "datasets" / "tiny" / built.name
    shutil.copytree(built.path, folder)
    (folder / "manifest.json").unlink()
    for name in GONE:
        (folder / "parts" / f"{name}.json").unlink()
    for place in (folder / "spectra.zarr").glob("*/*/c"):
        if place.parent.name not in ("flux", "variance", "wavelength"):
            shutil.rmtree(place)
    for number, record in enumerate(sorted((folder / "parts").glob("train-*.json"))):
        os.utime(record, (1e9 + 4.0 * number, 1e9 + 4.0 * number))
    return Location.of(folder)


def test_a_complete_dataset_is_told_in_its_own_figures(built: Location) -> None:
    told = summary(inspect(str(built)))
    train, other = (open_dataset(built, split).load() for split in ("train", "validation"))
    assert (told["complete"], told["progress"]) == (True, None)
    assert told["rows"] == told["looked_at"] == {"train": 300, "validation": 5}
    snr = np.sort(train["snr"].values.astype(float))
    assert told["snr"]["train"]["0.5"] == pytest.approx(0.5 * (snr[149] + snr[150]))
    assert told["snr"]["train"]["0.0"] == snr[0] and told["snr"]["train"]["1.0"] == snr[-1]
    for name in ("teff", "magnitude", "moon_phase"):
        both = np.concatenate([train[name].values, other[name].values])
        assert told["ranges"][name] == (both.min(), both.max())
    files = [path for path in built.path.rglob("*") if path.is_file()]
    assert told["files"] == len(files)
    assert told["bytes"] == sum(path.stat().st_size for path in files)
    above = sum(int((data["flux"].values > 1.0).sum()) for data in (train, other))
    assert told["pixels_above_one"] == above
    assert 0 < told["fraction_impossible_geometries"] < 1 and told["checksum"]


def test_what_is_not_finished_is_seen_as_far_as_it_is(built: Location, begun: Location) -> None:
    seen = inspect(str(begun))
    told, progress = summary(seen), seen.progress
    assert not told["complete"] and told["checksum"] is None
    assert (progress.blocks, progress.of_blocks) == (7, 11)
    assert (progress.rows, progress.of_rows) == (224, 305)
    assert progress.rows_per_s == pytest.approx(32 / 4.0)  # a block of 32 rows every four seconds
    assert progress.seconds_left == pytest.approx(81 / 8.0)
    assert progress.newest == 1e9 + 24.0
    shown = dict(told["progress"])
    assert shown.pop("newest_block_s_ago") > 1e6
    assert datetime.fromisoformat(shown.pop("end")).timestamp() == round(1e9 + 24.0 + 81 / 8.0)
    assert shown == {
        "blocks": 7, "of_blocks": 11, "rows": 224, "of_rows": 305,
        "rows_per_s": progress.rows_per_s, "rows_per_core_s": progress.rows_per_core_s,
        "seconds_left": progress.seconds_left,
    }  # fmt: skip
    whole = open_dataset(built, "train").load()
    there = np.r_[0:32, 96:288]
    rows = seen.rows["train"]
    assert np.array_equal(rows["spectrum"].values, there)
    for name in ("snr", "flux_scale", "teff", "alpha", "interpolated_axis", "moon_phase"):
        assert np.array_equal(rows[name].values.astype(whole[name].dtype), whole[name][there])
    assert set(seen.rows) == {"train"}  # nothing yet of the other split
    assert told["pixels_above_one"] == int((whole["flux"].values[there] > 1.0).sum())


def test_the_spectra_shown_are_those_of_their_rows(built: Location, begun: Location) -> None:
    for folder in (built, begun):
        shown = inspect(str(folder)).spectra
        assert shown is not None and shown.sizes["spectrum"] == 9
        again = inspect(str(folder)).spectra
        assert again is not None and shown.identical(again)
        for i in range(9):
            row = shown.isel(spectrum=i)
            kept = open_dataset(built, row["split"].item())
            kept = kept.isel(spectrum=int(row["row"])).load()
            for name in ("flux", "variance", "snr"):
                assert np.array_equal(row[name].values, kept[name].values)
            off = (row["noisy"] - row["flux"]).values / np.sqrt(row["variance"].values)
            assert abs(off.mean()) < 0.08 and abs(off.std() - 1.0) < 0.05
            assert f"S/N {float(kept['snr']):.1f}" in spectrum_title(row)
            assert f"Teff {float(kept['teff']):.0f} K" in spectrum_title(row)


def test_nodes_are_used_by_the_lines_drawn_through_them() -> None:
    grid = open_grid("toy").load()
    nodes = [grid[name].values for name in AXES]
    on = {name: float(axis[1]) for name, axis in zip(AXES, nodes, strict=True)}
    rows = [on | {"teff": float(nodes[0][0] + 0.1 * (nodes[0][1] - nodes[0][0]))},
            on | {"alpha": float(nodes[3][0])}]  # fmt: skip
    drawn = xr.Dataset({name: ("spectrum", [row[name] for row in rows]) for name in AXES})
    drawn["interpolated_axis"] = ("spectrum", np.array([0, 3], dtype=np.int8))
    use = node_use(grid, [drawn])
    expected = {(i, 1, 1, 1) for i in range(len(nodes[0]))}
    expected |= {(1, 1, 1, i) for i in range(len(nodes[3]))}
    assert {tuple(map(int, at)) for at in np.argwhere(use.used)} == expected
    counted = {tuple(map(int, at)): int(use.counts[tuple(at)]) for at in np.argwhere(use.counts)}
    assert counted == {(0, 1, 1, 1): 1, (1, 1, 1, 0): 1}
    assert use.summary()["never_used"] == use.summary()["present"] - len(expected)
    assert len(use.summary()["first_never_used"]) == min(20, use.summary()["never_used"])


def test_a_draw_between_nodes_of_all_axes_uses_every_node() -> None:
    grid = open_grid("toy")
    row = {name: ("spectrum", [float(grid[name].values[:2].mean())]) for name in AXES}
    use = node_use(grid, [xr.Dataset(row | {"interpolated_axis": ("spectrum", [-1])})])
    assert use.used.all() and use.counts.sum() == 1 and not len(use.never_used)


def test_draws_are_counted_at_their_nearest_node_in_every_pair(built: Location) -> None:
    seen = inspect(str(built))
    assert seen.use is not None
    values = {n: np.concatenate([t[n].values for t in seen.rows.values()]) for n in AXES}
    nearest = {n: np.abs(values[n][:, np.newaxis] - seen.use.nodes[n]).argmin(axis=1) for n in AXES}
    for first, second in combinations(AXES, 2):
        counts = np.zeros(tuple(len(seen.use.nodes[n]) for n in (first, second)), dtype=int)
        for pair in zip(nearest[first], nearest[second], strict=True):
            counts[pair] += 1
        assert np.array_equal(seen.use.of_pair(first, second), counts)


def test_figures_say_what_they_show(built: Location) -> None:
    seen = inspect(str(built))
    drawn = {}
    for name, draw in PARTS.items():
        figure = Figure()
        draw(seen, figure)
        drawn[name] = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_xlabel() for axes in drawn["distributions"]] == [
        "log10 S/N", "Teff [K]", "log g", "[M/H]", "[α/M]", "redshift", "E(B-V) [mag]",
        "magnitude [AB]", "seeing [arcsec]", "zenith angle [°]", "field angle [°]",
        "moon from the zenith [°]", "moon from the star [°]", "moon phase",
    ]  # fmt: skip
    for axes in drawn["distributions"]:
        for patch in axes.patches:  # shares of the rows of a split
            assert patch.get_data().values.sum() == pytest.approx(1.0)  # type: ignore[attr-defined]
    pairs = {(axes.get_ylabel(), axes.get_xlabel()) for axes in drawn["coverage"][:6]}
    assert pairs == set(combinations(("Teff", "log g", "[M/H]", "[α/M]"), 2))
    assert len(drawn["spectra"]) == 9
    assert all("S/N" in axes.get_title() for axes in drawn["spectra"])


def half_black(_: object, figure: Figure) -> None:
    figure.add_subplot(1, 2, 1, facecolor="black")


@pytest.mark.parametrize(
    ("parts", "dots"),
    [(dict.fromkeys(PARTS, half_black), 20), pytest.param(PARTS, 110, marks=pytest.mark.slow)],
    ids=["half black", "as they are"],  # these are drawn above
)
def test_the_page_and_the_picture_stand_alone(
    parts: Any, dots: int, built: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_figure, "PARTS", parts)
    monkeypatch.setattr(inspect_figure, "_DOTS_PER_INCH", dots)
    seen = inspect(str(built))
    picture, file = save_inspection(seen, tmp_path / "out")
    html = file.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", html) and "<script" not in html
    images = re.findall(r'src="data:image/png;base64,([^"]+)" alt="[^"]+"', html)
    shown = [imread(io.BytesIO(b64decode(one))) for one in images]
    assert len(shown) == 3 and np.array_equal(imread(str(picture)), np.concatenate(shown))
    assert all(one.std() > 0.05 for one in shown)
    heights = {"distributions": 9.5, "coverage": 8.5, "spectra": 9.5}
    sizes = [(round(dots * heights[name]), 15 * dots) for name in parts]
    assert [one.shape[:2] for one in shown] == sizes
    assert f"{summary(seen)['snr']['train']['0.5']:.2f}" in html
    assert "still being written" not in html and str(summary(seen)["checksum"]) in html


def test_the_page_of_an_unfinished_store_tells_how_far_it_is(begun: Location) -> None:
    html = page(inspect(str(begun)), NO_PICTURES)
    assert "still being written" in html and "7 of 11 blocks, 224 of 305 rows" in html
    assert "8 rows/s in the newest blocks" in html and 'max="305" value="224"' in html


def test_a_store_without_blocks_is_seen_and_drawn(begun: Location) -> None:
    for record in (begun / "parts").path.glob("train-*.json"):
        record.unlink()
    seen = inspect(str(begun))
    assert (seen.progress.blocks, seen.progress.rows_per_s, seen.spectra) == (0, None, None)
    assert summary(seen)["ranges"] == {} and summary(seen)["nodes"] == {"unknown": "no rows yet"}
    assert "The rate is not known yet." in page(seen, NO_PICTURES)
    for draw in PARTS.values():
        draw(seen, Figure())


def test_a_store_whose_config_or_grid_is_not_known_shows_the_rest(begun: Location) -> None:
    place = begun_in(begun).path
    text = place.read_text()
    for content in (None, "{", text.replace("toy", "tor")):
        place.unlink(missing_ok=True)
        if content:
            place.write_text(content)
        seen = inspect(str(begun))
        assert seen.use is None and seen.why_not
        assert set(seen.rows["train"]) == {"snr", "flux_scale"}
        assert summary(seen)["snr"]["train"]["0.5"] > 0
        assert "S/N" in spectrum_title(seen.spectra.isel(spectrum=0))  # type: ignore[union-attr]
        assert "Not known: " in page(seen, NO_PICTURES)
        for draw in PARTS.values():
            draw(seen, Figure())


def test_a_damaged_record_counts_as_not_done(begun: Location) -> None:
    record_in(begun, Block("train", 0, 32)).path.write_text('{"format_version": 3')
    assert inspect(str(begun)).progress.blocks == 6


def test_a_grid_that_is_gone_is_told(begun: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: object) -> None:
        raise InputError("no stellar grid there")

    monkeypatch.setattr("simlib.dataset.rows.open_grid_kept", gone)
    seen = inspect(str(begun))
    assert (seen.use, seen.why_not) == (None, "no stellar grid there")
    assert seen.spectra is not None


def test_a_dataset_that_stores_nothing_is_looked_at_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simlib.dataset.inspect.MOST_COMPUTED", 12)
    config = toy_config(tmp_path, "dataset.mode=virtual")
    folder = build_dataset(config, ensure_terms_grid(config), client=None)  # type: ignore[arg-type]
    told = summary(inspect(str(folder)))
    assert told["looked_at"] == {"train": 12, "validation": 5} and told["mode"] == "virtual"
    assert told["checksum"] is told["pixels_above_one"] is None


def test_a_dataset_is_found_by_folder_arrays_versions_and_name(
    built: Location, begun: Location
) -> None:
    for place in (built, built.parent, built / "spectra.zarr"):
        folder, manifest = find_dataset(str(place))
        assert folder == built and manifest is not None
    assert find_dataset(dataset_named("tiny", built.parent.parent.parent))[0] == built
    for place in (begun, begun.parent):
        assert find_dataset(str(place)) == (begun, None)


def test_what_is_no_dataset_is_refused(begun: Location, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset at .*/no; build it"):
        find_dataset("no")
    with pytest.raises(InputError, match="no dataset at "):
        find_dataset(str(tmp_path))
    other = make_store(begun.parent / "0123456789abcdef", make_plan(), blocks=[])
    with pytest.raises(InputError, match="2 versions and none is published; give the folder"):
        find_dataset(str(begun.parent))
    plan_in(other).path.write_text("{")
    with pytest.raises(InputError, match="plan.json is damaged"):
        find_dataset(str(other))


def test_it_works_behind_a_url(begun: Location) -> None:
    far = Location.of("memory://inspected/tiny/x")
    filesystem, path = far.filesystem()
    filesystem.put(f"{begun}/", path, recursive=True)
    seen = inspect(far.url)
    assert seen.progress.blocks == 7 and seen.spectra is not None
    write_record(begun_in(far), seen.plan)  # another record in its place
    assert inspect(far.url).use is None
