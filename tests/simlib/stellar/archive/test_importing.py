"""Importing a folder of files: the store equals the source, holes are recorded, reruns resume."""

import math
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from simlib.air_wavelengths import air_to_vacuum
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import AXES
from simlib.stellar import grid_fingerprint, interpolate_axis, open_grid
from simlib.stellar.archive import bosz2024
from simlib.stellar.archive import import_plane as import_plane_module
from simlib.stellar.archive.import_plan import ImportPlan, plan_import
from simlib.stellar.archive.import_plane import import_plane
from simlib.stellar.archive.importing import import_grid, start_import
from simlib.stellar.archive.releases import RELEASES
from simlib.stellar.archive.spectrum_files import BadFileError
from tests.simlib.stellar.archive.bosz_files import (
    model_on,
    whole_native_wavelength,
    write_2017_fits,
    write_2017_text,
    write_2024,
)

WINDOW = (845.0, 875.0)
TEFF, LOGG, FEH, ALPHA = (4000.0, 4250.0), (1.0, 2.0), (-0.5, 0.0), (0.0, 0.25)
NODES = [dict(zip(AXES, values, strict=True)) for values in product(TEFF, LOGG, FEH, ALPHA)]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    grid, native = open_grid(), whole_native_wavelength(7)
    short = native[(native > 840) & (native < 880)]
    for node in NODES:
        write_2017_text(tmp_path / "source", grid, node, short)
    return tmp_path / "source"


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def file_of(source: Path, text: str) -> Path:
    (path,) = source.rglob(f"*{text}*")
    return path


def test_the_store_equals_its_source(source: Path, tmp_path: Path, client: Client) -> None:
    store = str(tmp_path / "grid.zarr")
    report = import_grid(plan_import(source, window=WINDOW), store, client)
    assert (report.nodes, report.files_read, report.holes) == (16, 16, [])
    imported, default = open_grid(store), open_grid()
    assert imported["present"].values.all()
    assert imported.attrs["checksum"] == report.checksum
    assert imported.attrs["medium"] == "vacuum"
    wavelength = imported["wavelength_model"].values
    native = whole_native_wavelength(7)
    inside = (native >= WINDOW[0]) & (native <= WINDOW[1])
    np.testing.assert_allclose(wavelength, native[inside], atol=1e-9)
    for node in NODES:
        flux = model_on(default, node, wavelength)[0]
        got = imported.sel(node)
        np.testing.assert_allclose(got["flux_normalized"], flux, atol=1e-6)
        line = interpolate_axis(imported, "teff", **node)  # the continuum between its points
        np.testing.assert_allclose(line["flux_normalized"], flux, atol=1e-6)
        at = imported["wavelength_continuum"].values
        np.testing.assert_allclose(got["continuum"], model_on(default, node, at)[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("release", "write"),
    [("bosz2017", write_2017_text), ("bosz2017", write_2017_fits), ("bosz2024", write_2024)],
)
def test_every_format_imports_to_the_source(
    release: str, write, tmp_path: Path, client: Client
) -> None:
    default, nodes = open_grid(), NODES[: 1 if release == "bosz2024" else 2]  # long to write
    native = whole_native_wavelength(7)
    stretch = () if release == "bosz2024" else (native[(native > 840) & (native < 880)],)
    for node in nodes:
        write(tmp_path / "files", default, node, *stretch)
    store = str(tmp_path / "grid.zarr")
    import_grid(plan_import(tmp_path / "files", window=WINDOW), store, client)
    imported = open_grid(store)
    assert imported.attrs["name"] == release
    wavelength = imported["wavelength_model"].values
    expected = (
        native if release == "bosz2017" else air_to_vacuum(bosz2024.file_wavelength(20000) / 10)
    )
    expected = expected[(expected >= WINDOW[0]) & (expected <= WINDOW[1])]
    np.testing.assert_allclose(10 * wavelength, 10 * expected, atol=1e-4)
    for node in nodes:
        flux = imported["flux_normalized"].sel(node).values
        np.testing.assert_allclose(flux, model_on(default, node, wavelength)[0], atol=1e-6)
        near = np.abs(wavelength - 854.444) < 0.3
        assert abs(wavelength[near][np.argmin(flux[near])] - 854.444) < 0.015
        at = imported["wavelength_continuum"].values
        continuum = imported["continuum"].sel(node).values
        np.testing.assert_allclose(continuum, model_on(default, node, at)[1], rtol=1e-6)


def test_2024_and_2017_import_to_the_same_surface_flux(tmp_path: Path, client: Client) -> None:
    node, grid = NODES[0], open_grid()
    native = whole_native_wavelength(7)
    write_2017_text(tmp_path / "a", grid, node, native[(native > 840) & (native < 880)])
    write_2024(tmp_path / "b", grid, node, resolution=5000)
    continua = []
    for folder in ("a", "b"):
        store = str(tmp_path / f"{folder}.zarr")
        import_grid(plan_import(tmp_path / folder, window=WINDOW), store, client)
        continua.append(open_grid(store)["continuum"].values.ravel()[::10].mean())
    assert continua[0] == pytest.approx(continua[1], rel=1e-3)


def test_bad_and_absent_files_are_recorded_as_holes(
    source: Path, tmp_path: Path, client: Client
) -> None:
    cut, absent, wrong = (file_of(source, f"mm05cp00op0{a}t{t}g10") for a, t in
                          ((0, 4000), (3, 4000), (0, 4250)))  # fmt: skip
    cut.write_bytes(cut.read_bytes()[:-100])
    absent.unlink()
    wrong.write_bytes(b"<html>no such file</html>")
    store = str(tmp_path / "grid.zarr")
    report = import_grid(plan_import(source, window=WINDOW), store, client)
    assert report.nodes == 13
    reasons = {(h["teff"], h["alpha"]): h["reason"] for h in report.holes}
    assert reasons[4000.0, 0.0].startswith("is cut short")
    assert reasons[4000.0, 0.25] == "there is no file"
    assert reasons[4250.0, 0.0].startswith("is cut short, or no bzip2 file")
    grid = open_grid(store)
    assert grid.attrs["holes"] == report.holes
    assert int(grid["present"].sum()) == 13
    with pytest.raises(InputError, match=r"misses the nodes teff=4000 logg=1 feh=-0.5 alpha=0;"):
        interpolate_axis(grid, "teff", teff=4100, logg=1, feh=-0.5, alpha=0)


def test_a_file_with_other_wavelengths_is_a_hole(
    source: Path, tmp_path: Path, client: Client
) -> None:
    native = whole_native_wavelength(7)
    short = native[(native > 850) & (native < 880)]
    write_2017_text(source, open_grid(), NODES[3], short)
    report = import_grid(plan_import(source, window=WINDOW), str(tmp_path / "grid.zarr"), client)
    (hole,) = report.holes
    assert "covers 850.0" in hole["reason"]


@pytest.mark.parametrize(("off_nm", "is_other"), [(0.9e-5, False), (1.1e-5, True)])
def test_wavelengths_are_others_from_a_hundred_thousandth_of_a_nm(
    off_nm: float, is_other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = np.linspace(*WINDOW, 50)
    found = SimpleNamespace(wavelength_nm=usual + off_nm * (np.arange(50) == 17))
    release = SimpleNamespace(read_spectrum=lambda *_: found)
    monkeypatch.setattr(import_plane_module, "find_release", lambda _: release)
    refused = pytest.raises(BadFileError, match="^x has other wavelengths than the other files$")
    with refused if is_other else nullcontext():
        assert import_plane_module._read("any", "x", b"", WINDOW, usual) is found


def test_a_rerun_reads_nothing_and_changes_no_bit(
    source: Path, tmp_path: Path, client: Client
) -> None:
    store = tmp_path / "grid.zarr"
    plan = plan_import(source, window=WINDOW)
    first = import_grid(plan, str(store), client)
    before = files_in(store)
    again = import_grid(plan_import(source, window=WINDOW), str(store), client)
    assert (again.files_read, again.planes_kept) == (0, 4)
    assert again.checksum == first.checksum
    assert files_in(store) == before


def test_a_finished_store_of_other_files_is_refused_with_the_way_out(
    source: Path, tmp_path: Path, client: Client
) -> None:
    late = file_of(source, "mm05cp00op03t4250g20")
    data = late.read_bytes()
    late.unlink()
    store = tmp_path / "grid.zarr"
    assert len(import_grid(plan_import(source, window=WINDOW), store, client).holes) == 1
    before = files_in(store)
    late.write_bytes(data)
    with pytest.raises(
        InputError,
        match=r"differs in the file of teff=4250 logg=2 feh=-0.5 alpha=0.25. A finished grid is "
        r"never changed: import into a new store, or remove this one first",
    ):
        import_grid(plan_import(source, window=WINDOW), store, client)
    assert files_in(store) == before
    new = tmp_path / "new.zarr"  # the first way out
    assert import_grid(plan_import(source, window=WINDOW), new, client).holes == []
    shutil.rmtree(store)  # the second
    assert import_grid(plan_import(source, window=WINDOW), store, client).holes == []
    assert grid_fingerprint(open_grid(store)) == grid_fingerprint(open_grid(new))
    for path in source.rglob("*t4250*"):
        path.unlink()
    with pytest.raises(InputError, match="differs in teff"):
        import_grid(plan_import(source, window=WINDOW), store, client)


def damage(path: Path) -> bytes:
    """Flip a bit in the middle of a file: its name, size and place stay; return what it held."""
    data = path.read_bytes()
    path.write_bytes(data[:-4] + bytes([data[-4] ^ 1]) + data[-3:])
    return data


def test_a_damaged_file_replaced_by_a_good_one_of_its_size_is_read(
    source: Path, tmp_path: Path, client: Client
) -> None:
    damaged = file_of(source, "mm05cp00op00t4000g10")
    good = damage(damaged)
    store = tmp_path / "grid.zarr"
    plan = plan_import(source, window=WINDOW)
    import_planes(plan, store)
    damaged.write_bytes(good)
    report = import_grid(plan_import(source, window=WINDOW), store, client)
    assert (report.files_read, report.planes_kept, report.holes) == (4, 3, [])
    damage(damaged)
    with pytest.raises(InputError, match="the file of teff=4000 logg=1 feh=-0.5 alpha=0"):
        import_grid(plan_import(source, window=WINDOW), store, client)


def test_the_signature_of_a_plan_moves_with_all_but_the_files(source: Path) -> None:
    """Files have digests of their own, in the record of their plane."""
    plan = plan_import(source, window=WINDOW)
    release = plan.release
    moved: dict[str, list[object]] = {
        "release": [
            replace(release, name="other"),
            replace(release, source="other"),
            replace(release, license="other"),
            replace(release, reader_version=release.reader_version + 1),
        ],
        "resolution": [plan.resolution + 1],
        "carbon": [0.25],
        "microturbulence": [1.0],
        "window": [(WINDOW[0] + 0.1, WINDOW[1]), (WINDOW[0], WINDOW[1] + 0.1)],
        "axes": [plan.axes | {name: plan.axes[name] + 1e-9} for name in AXES],
        "wavelength_model": [plan.wavelength_model + 1e-9, plan.wavelength_model[1:]],
        "wavelength_continuum": [plan.wavelength_continuum + 1e-9],
    }
    assert {*moved, "files"} == {field.name for field in fields(ImportPlan)}
    found = [plan.signature] + [
        replace(plan, **{name: value}).signature for name, values in moved.items()
        for value in values
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert replace(plan, files={}).signature == plan.signature


def import_planes(plan: ImportPlan, store: Path) -> None:
    """Do all of an import but its end, as one that was killed there."""
    place = Location.of(store)
    start_import(plan, place)
    for plane in plan.planes:
        import_plane(
            plan.release.name, plan.plane_files(plane), plan.window, place, plane,
            signature=plan.signature, record=None,
        )  # fmt: skip


def test_planes_of_another_version_of_the_reader_are_read_again(
    source: Path, tmp_path: Path, client: Client, monkeypatch
) -> None:
    store = tmp_path / "grid.zarr"
    import_planes(plan_import(source, window=WINDOW), store)
    newer = replace(RELEASES["bosz2017"], reader_version=RELEASES["bosz2017"].reader_version + 1)
    monkeypatch.setitem(RELEASES, "bosz2017", newer)
    report = import_grid(plan_import(source, window=WINDOW), store, client)
    assert (report.files_read, report.planes_kept) == (16, 0)
    monkeypatch.undo()
    with pytest.raises(InputError, match="differs in reader_version"):
        import_grid(plan_import(source, window=WINDOW), store, client)


def test_a_plane_whose_data_were_damaged_since_is_made_again(
    source: Path, tmp_path: Path, client: Client
) -> None:
    store, whole = tmp_path / "grid.zarr", tmp_path / "whole.zarr"
    plan = plan_import(source, window=WINDOW)
    import_planes(plan, store)
    damage(store / "flux_normalized/c/0/1/0/0/0")
    (store / "continuum/c/1/0/0/0/0").unlink()
    report = import_grid(plan, store, client)
    assert (report.files_read, report.planes_kept) == (8, 2)
    import_grid(plan, whole, client)
    assert files_in(store) == files_in(whole)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("plane-000-000.json", "", "is damaged, no JSON"),
        ("plane-000-000.json", "[1]", "holds no table"),
        ("plane-000-000.json", '{"format_version": 3}', "signature: Field required"),
        ("import.json", '{"format_version": 3, "coords": 5}', "coords: Input should be"),
        ("import.json", '{"format_version": 1}', "has format 1, this version reads 3"),
    ],
)
def test_a_record_that_is_none_is_told_with_its_place(
    source: Path, tmp_path: Path, client: Client, name: str, text: str, message: str
) -> None:
    store = tmp_path / "grid.zarr"
    plan = plan_import(source, window=WINDOW)
    import_planes(plan, store)
    (tmp_path / "grid.zarr.parts" / name).write_text(text)
    with pytest.raises(InputError, match=f"grid.zarr.parts/{name} .*{message}"):
        import_grid(plan, store, client)


def test_an_import_of_other_nodes_does_not_go_on_with_this_one(
    source: Path, tmp_path: Path, client: Client
) -> None:
    store = tmp_path / "grid.zarr"
    start_import(plan_import(source, window=WINDOW), Location.of(store))
    for path in source.rglob("*t4250*"):
        path.unlink()
    with pytest.raises(InputError, match="is there with another teff; .* import into a new store"):
        import_grid(plan_import(source, window=WINDOW), store, client)


def test_a_folder_of_other_things_is_left_alone(
    source: Path, tmp_path: Path, client: Client
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="mine exists and is no grid; choose another place"):
        import_grid(plan_import(source, window=WINDOW), tmp_path / "mine", client)
    assert files_in(tmp_path / "mine") == {"notes.txt": b"keep"}


def test_two_imports_into_one_store_do_not_meet(
    source: Path, tmp_path: Path, client: Client
) -> None:
    store, plan = tmp_path / "grid.zarr", plan_import(source, window=WINDOW)
    refused = []

    def also(done: int, total: int, files: int) -> None:
        with pytest.raises(InputError, match="import into .*grid.zarr is held by process"):
            import_grid(plan, store, client)
        refused.append(done)

    assert import_grid(plan, store, client, on_progress=also).nodes == 16
    assert refused == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir() if "grid" in path.name] == ["grid.zarr"]


@pytest.mark.parametrize("window", [(0.0, 900.0), (900.0, 800.0), (800.0, math.inf)])
def test_a_window_that_is_none_is_refused(source: Path, window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="no window"):
        plan_import(source, window=window)


def test_an_unfinished_store_is_refused(source: Path, tmp_path: Path, client: Client) -> None:
    store = str(tmp_path / "grid.zarr")

    def stop(done: int, total: int, files: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_grid(plan_import(source, window=WINDOW), store, client, on_progress=stop)
    assert list(Path(f"{store}.parts").glob("plane-*.json"))
    with pytest.raises(InputError, match="is not complete; run `specdenoise grid import` again"):
        open_grid(store)
    assert import_grid(plan_import(source, window=WINDOW), store, client).nodes == 16


def test_folders_that_cannot_be_imported_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        plan_import(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"resolution 20000; choose one of them with --resolution"):
        plan_import(source, resolution=5000)
    with pytest.raises(InputError, match="none with resolution 20000, .* microturbulence 1 km/s"):
        plan_import(source, microturbulence=1.0)
    write_2024(source, open_grid(), NODES[0], resolution=500)
    with pytest.raises(InputError, match="holds files of bosz2017 and bosz2024"):
        plan_import(source)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no file of a known release"):
        plan_import(empty)


def test_laziness_survives_opening(source: Path, tmp_path: Path, client: Client) -> None:
    store = str(tmp_path / "grid.zarr")
    import_grid(plan_import(source, window=WINDOW), store, client)
    grid: xr.Dataset = open_grid(store)
    assert not grid["flux_normalized"].variable._in_memory
