"""Importing a folder of files: the store equals the source, holes are recorded, reruns resume."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from simlib.errors import InputError
from simlib.stellar import bosz2024, grid_fingerprint, interpolate_axis, open_grid
from simlib.stellar.import_plan import plan_import
from simlib.stellar.importing import import_grid, records_folder
from simlib.stellar.medium import air_to_vacuum
from simlib.stellar.shape import AXES
from tests.simlib.stellar.bosz_files import (
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


def test_files_that_come_later_are_added(source: Path, tmp_path: Path, client: Client) -> None:
    late = file_of(source, "mm05cp00op03t4250g20")
    data = late.read_bytes()
    late.unlink()
    part, whole = str(tmp_path / "part.zarr"), str(tmp_path / "whole.zarr")
    assert len(import_grid(plan_import(source, window=WINDOW), part, client).holes) == 1
    before = grid_fingerprint(open_grid(part))
    late.write_bytes(data)
    report = import_grid(plan_import(source, window=WINDOW), part, client)
    assert (report.files_read, report.planes_kept, report.holes) == (4, 3, [])
    import_grid(plan_import(source, window=WINDOW), whole, client)
    assert grid_fingerprint(open_grid(part)) == grid_fingerprint(open_grid(whole)) != before


def test_a_store_of_other_nodes_is_not_overwritten(
    source: Path, tmp_path: Path, client: Client
) -> None:
    store = str(tmp_path / "grid.zarr")
    import_grid(plan_import(source, window=WINDOW), store, client)
    for path in source.rglob("*t4250*"):
        path.unlink()
    with pytest.raises(InputError, match="is there with another teff; .* import into a new store"):
        import_grid(plan_import(source, window=WINDOW), store, client)


def test_an_unfinished_store_is_refused(source: Path, tmp_path: Path, client: Client) -> None:
    store = str(tmp_path / "grid.zarr")

    def stop(done: int, total: int, files: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_grid(plan_import(source, window=WINDOW), store, client, on_progress=stop)
    with pytest.raises(InputError, match="is not complete; run `specdenoise grid import` again"):
        open_grid(store)
    assert list(Path(records_folder(store)).iterdir())
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
