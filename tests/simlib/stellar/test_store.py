"""A store is published whole, checked in every byte that is read, and never changed."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location
from simlib.stellar import grid_fingerprint, interpolate_grid, open_grid
from simlib.stellar.grid import open_grid_kept
from simlib.stellar.quality.verify import verify_grid
from simlib.stellar.schema import COORDINATES
from simlib.stellar.store import (
    LAYOUT,
    METADATA,
    array_digest,
    create_arrays,
    publish_store,
    write_grid,
    write_plane,
)

NODE = {"teff": 3500.0, "logg": 1.5, "feh": -2.5, "alpha": 0.25}


@pytest.fixture(scope="module")
def toy() -> xr.Dataset:
    """The toy with few nodes and wavelengths, and a hole: quick to write and read."""
    grid = open_grid("toy").isel(teff=[0], logg=[0, 1], wavelength_model=slice(3000, 3400))
    grid = grid.copy(deep=True)
    grid["present"].loc[{**NODE, "logg": 0.0}] = False
    return grid


@pytest.fixture(scope="module")
def written(toy: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store") / "toy.zarr"
    write_grid(place, toy)
    return place


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "toy.zarr"))


def read_all(place: Path) -> dict[str, np.ndarray]:
    grid = open_grid(place)
    return {str(name): grid[name].values for name in grid.variables}


def files_of(store: Path) -> list[str]:
    return sorted(str(p.relative_to(store)) for p in store.rglob("*") if p.is_file())


@contextmanager
def changed(path: Path, data: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(data)
    yield
    path.write_bytes(before)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def silent_flips(store: Path, places: int) -> list[str]:
    """Flip bits one at a time, `places` of every file; return those that nobody noticed."""
    rng, silent = np.random.default_rng(9), []
    for name in files_of(store):
        data = (store / name).read_bytes()
        for bit in rng.integers(8 * len(data), size=places):
            with changed(store / name, flipped(data, int(bit))):
                try:
                    read_all(store)
                except InputError as error:
                    assert str(store) in str(error)
                    assert "import" in str(error)  # the way out
                    continue
            silent.append(f"bit {bit} of {name}")
    return silent


def test_a_flipped_bit_in_any_file_is_told(store: Path) -> None:
    assert len(files_of(store)) > 20
    assert silent_flips(store, 3) == []


@pytest.mark.slow
def test_sixty_flipped_bits_in_every_file_are_told(store: Path) -> None:
    assert silent_flips(store, 60) == []


def test_cut_empty_and_deleted_files_are_told(store: Path) -> None:
    before = read_all(store)
    for name in files_of(store):
        path = store / name
        data = path.read_bytes()
        for cut in (data[: len(data) // 2], b""):
            with changed(path, cut), pytest.raises(InputError):
                read_all(store)
        path.unlink()
        with pytest.raises(InputError, match="miss|not those|no stellar grid|not complete"):
            read_all(store)
        path.write_bytes(data)
    assert all(np.array_equal(values, before[n], equal_nan=True)
               for n, values in read_all(store).items())  # fmt: skip


def test_a_damaged_node_is_named_by_verify(toy: xr.Dataset, store: Path) -> None:
    shard = store / "flux_normalized/c/0/1/0/0/0"
    data = shard.read_bytes()
    with changed(shard, flipped(data, 8 * (len(data) // 2))):
        with pytest.raises(InputError, match=r"`specdenoise grid verify .*` tells which") as error:
            read_all(store)
        assert "flux_normalized" in str(error.value)
        (node,) = verify_grid(open_grid(store)).damaged
        assert node["logg"] == 1.5
    assert verify_grid(open_grid(store)).damaged == []


def test_axes_of_one_node_are_a_grid(toy: xr.Dataset, store: Path) -> None:
    at = {**NODE, "logg": 1.0}
    del at["feh"]
    stored, kept = (interpolate_grid(g, **at, feh=-1.0) for g in (open_grid(store), toy))
    np.testing.assert_array_equal(stored["flux_normalized"], kept["flux_normalized"])


# What another program could have written: consistent with itself, and no grid.


def edit(store: Path, name: str, change: Any) -> None:
    path = store / name / METADATA
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def seal(store: Path) -> None:
    group = json.loads((store / METADATA).read_text())
    attributes = group["attributes"]
    attributes["arrays"] = {name: array_digest(Location.of(store), name) for name in LAYOUT}
    attributes.pop("digest", None)
    attributes["digest"] = fingerprint(attributes)
    (store / METADATA).write_text(json.dumps(group))


def setting(name: str, value: Any) -> Any:
    return lambda group: group["attributes"].update({name: value})


@pytest.mark.parametrize(
    ("array", "change", "message"),
    [
        ("", lambda group: group["attributes"].pop("resolution"), "resolution: Field required"),
        ("", setting("resolution", 0.0), "resolution: Input should be greater than 0"),
        ("", setting("resolution", float("inf")), "resolution: Input should be a finite number"),
        ("", setting("resolution", "high"), "resolution: Input should be a valid number"),
        ("", setting("medium", "air"), "medium: Input should be 'vacuum'"),
        ("", setting("checksum", 7), "checksum: Input should be a valid string"),
        ("", setting("format_version", 1), "has format 1, this version reads 3; remove it and"),
        ("", setting("format_version", None), "format_version: Input should be a valid integer"),
        ("", lambda group: group.update(attributes=[1]), "attributes: Input should be an object"),
        ("", lambda group: group.update(node_type="array"), "node_type: Input should be 'group'"),
        ("teff", lambda a: a.update(data_type="float32"), "teff is float32"),
        ("teff", lambda a: a.update(dimension_names=["t"]), r"teff is float64 \('t',\)"),
        ("present", lambda a: a.update(dimension_names=None), r"present is bool \(\) \(1, 2"),
        ("continuum", lambda a: a["shape"].append(1), "continuum"),
    ],
)
def test_metadata_of_something_else_are_refused(
    store: Path, array: str, change: Any, message: str
) -> None:
    edit(store, array, change)
    if isinstance(json.loads((store / METADATA).read_text())["attributes"], dict):
        seal(store)
    with pytest.raises(InputError, match=message):
        read_all(store)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 5000, b"[" * 5000 + b"]" * 5000,
     b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'],
    ids=range(8),
)  # fmt: skip
def test_a_group_that_is_no_grids_is_refused(store: Path, data: bytes) -> None:
    (store / METADATA).write_bytes(data)
    with pytest.raises(InputError, match=r"is no stellar grid: .*zarr.json: .*grid import`"):
        open_grid(store)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("teff", []), ("feh", [0.0, -1.0, 1.0, 2.0]), ("feh", [0.0, 0.0, 1.0, 2.0]),
        ("alpha", [0.0, 1.0, np.nan, 2.0]), ("wavelength_model", [800.0]),
        ("wavelength_continuum", np.linspace(912.0, 670.0, 12)),
    ],
)  # fmt: skip
def test_axes_that_are_none_are_refused(
    toy: xr.Dataset, tmp_path: Path, name: str, values: list[float]
) -> None:
    grid = toy.isel({name: slice(0, len(values))}).assign_coords({name: values})
    try:
        write_grid(tmp_path / "bad.zarr", grid)
    except InputError as error:
        assert name in str(error)
        return
    with pytest.raises(InputError, match=f"{name} must hold at least . finite, increasing values"):
        open_grid(tmp_path / "bad.zarr")


# A store is published once, in one step; what was opened and then replaced is told.


def halved(grid: xr.Dataset) -> xr.Dataset:
    other = grid.copy(deep=True)
    other["flux_normalized"].values[...] *= 0.5
    return other


def test_a_kept_grid_is_opened_again_when_it_was_replaced(store: Path, toy: xr.Dataset) -> None:
    first = open_grid_kept(store)
    assert open_grid_kept(str(store)) is first
    assert open_grid_kept("toy") is open_grid_kept("toy")
    shutil.rmtree(store)
    with pytest.raises(InputError, match="no stellar grid"):
        open_grid_kept(store)
    write_grid(store, halved(toy))
    again = open_grid_kept(store)
    assert grid_fingerprint(again) != grid_fingerprint(first)
    np.testing.assert_array_equal(
        again["flux_normalized"].values, halved(toy)["flux_normalized"].where(toy["present"])
    )


def test_old_metadata_never_meet_new_flux(store: Path, toy: xr.Dataset) -> None:
    opened = open_grid(store)
    shutil.rmtree(store)
    with pytest.raises(InputError, match="was replaced or removed while it was in use"):
        opened["flux_normalized"].values  # noqa: B018
    write_grid(store, halved(toy))
    with pytest.raises(InputError, match="was replaced or removed while it was in use"):
        opened["continuum"].isel(teff=0).values  # noqa: B018


def test_readers_of_a_store_that_is_replaced_see_the_old_the_new_or_none(
    store: Path, toy: xr.Dataset
) -> None:
    flux = np.nan_to_num(toy["flux_normalized"].where(toy["present"]).values)
    other = store.with_name("other.zarr")
    wanted = {open_grid(store).attrs["checksum"]: flux}
    wanted[write_grid(other, halved(toy))] = flux * np.float32(0.5)
    seen: list[str] = []
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                grid = open_grid_kept(store)
                values = np.nan_to_num(grid["flux_normalized"].values)
            except InputError:
                continue
            seen.append(grid.attrs["checksum"])
            if not np.array_equal(values, wanted[grid.attrs["checksum"]]):
                wrong.append(grid.attrs["checksum"])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        store.rename(store.with_name("old"))
        other.rename(store)
        store.with_name("old").rename(other)
        count = len(seen)
        for _ in range(2000):  # until the reader has seen this one
            if len(seen) > count or not reader.is_alive():
                break
            reader.join(0.005)
    done.set()
    reader.join(30)
    assert set(seen) == set(wanted)
    assert wrong == []


def test_nothing_is_written_over_a_store(store: Path, toy: xr.Dataset) -> None:
    before = read_all(store)
    with pytest.raises(InputError, match="exists; choose another place, or remove it"):
        write_grid(store, halved(toy))
    digests, place = before["node_checksum"], Location.of(store)
    with pytest.raises(InputError, match="exists; choose another place, or remove it"):
        create_arrays(place, {name: toy[name].values for name in COORDINATES})
    with pytest.raises(InputError, match="exists; choose another place, or remove it"):
        write_plane(place, (0, 0), before["flux_normalized"][0, 0], before["continuum"][0, 0])
    with pytest.raises(InputError, match="exists; choose another place, or remove it"):
        publish_store(place, digests, np.zeros_like(digests), toy.attrs)
    assert all(np.array_equal(values, before[n], equal_nan=True)
               for n, values in read_all(store).items())  # fmt: skip


def test_xarray_opens_a_store_as_the_contract_says(store: Path, toy: xr.Dataset) -> None:
    found = xr.open_zarr(store, consolidated=False)
    assert {*COORDINATES, "flux_normalized", "continuum", "present"} <= set(found.variables)
    assert found["flux_normalized"].dims == toy["flux_normalized"].dims
    assert found["wavelength_model"].attrs == {"units": "nm", "medium": "vacuum"}
    assert found.attrs["medium"] == "vacuum"
    np.testing.assert_array_equal(found["present"], toy["present"])
