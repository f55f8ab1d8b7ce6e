"""A virtual dataset and a replayed row are the stored ones, bit for bit."""

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simlib.artifact import write_record
from simlib.dataset.endless import open_endless
from simlib.dataset.layout import PIXEL_VARIABLES, ROW_VARIABLES
from simlib.dataset.open import open_dataset
from simlib.dataset.places import manifest_in
from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Location:
    return build(tmp_path_factory.mktemp("stored"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_virtual_equals_stored_bit_for_bit(stored: Location, split: str) -> None:
    kept, made = open_dataset(stored, split), open_dataset(stored, split, virtual=True)
    assert made.sizes == kept.sizes
    assert np.array_equal(made["wavelength"].values, kept["wavelength"].values)
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert made[name].dtype == kept[name].dtype
        assert made[name].dims == kept[name].dims
        assert made[name].attrs.get("units") == kept[name].attrs.get("units")
        assert np.array_equal(made[name].values, kept[name].values), name


ODD = np.arange(300) % 97 == 3
ROWS = {
    "one": 7,
    "the last": -1,
    "over the edge of a block": slice(250, 260),
    "the end": slice(290, None),
    "beyond the end": slice(298, 400),
    "none": slice(10, 10),
    "strided": slice(None, None, 97),
    "from behind": slice(-5, None),
    "reversed": slice(None, None, -1),
    "reversed and strided": slice(280, 3, -41),
    "a list, unsorted and repeated": [299, 0, 3, 3],
    "negative in a list": [-1, -300, 5],
    "boolean": ODD,
}


@pytest.mark.parametrize("key", ROWS.values(), ids=ROWS.keys())
def test_a_virtual_dataset_is_indexed_like_a_stored_one(stored: Location, key: Any) -> None:
    kept, made = open_dataset(stored), open_dataset(stored, virtual=True)
    for name in ("flux", "variance", "snr", "teff"):
        assert np.array_equal(made[name][key].values, kept[name][key].values)
        assert made[name][key].shape == kept[name][key].shape


@pytest.mark.parametrize("key", [slice(100, 90, -2), 4095, -1, [5, 3, 4095], slice(None, None, -1)])
def test_pixels_are_chosen_like_those_of_a_stored_one(stored: Location, key: Any) -> None:
    kept, made = open_dataset(stored), open_dataset(stored, virtual=True)
    for rows in (5, slice(298, None), [299, 0]):
        assert np.array_equal(made["flux"][rows, key].values, kept["flux"][rows, key].values)


def test_rows_and_pixels_are_chosen_by_label_and_pointwise(stored: Location) -> None:
    kept, made = open_dataset(stored), open_dataset(stored, virtual=True)
    red = {"wavelength": slice(850.0, 850.5)}
    assert np.array_equal(made["flux"].sel(red)[::50].values, kept["flux"].sel(red)[::50].values)
    points = {
        "spectrum": xr.DataArray([0, 299, 255, 256], dims="point"),
        "wavelength": xr.DataArray([0, 4095, 17, 18], dims="point"),
    }
    assert np.array_equal(
        made["variance"].isel(points).values, kept["variance"].isel(points).values
    )
    bright = kept["snr"].values > np.median(kept["snr"].values)
    assert made.isel(spectrum=bright).load().equals(kept.isel(spectrum=bright).load())


def test_a_row_beyond_the_end_is_no_row(stored: Location) -> None:
    for dataset in (open_dataset(stored), open_dataset(stored, virtual=True)):
        with pytest.raises(IndexError):
            _ = dataset["flux"][300].values


def test_a_dataset_may_be_published_without_storing_it(stored: Location, tmp_path: Path) -> None:
    folder = build(tmp_path, "dataset.mode=virtual")
    assert folder.name == stored.name
    assert not (folder / "spectra.zarr").exists()
    assert np.array_equal(
        open_dataset(folder)["variance"][10:20].values,
        open_dataset(stored)["variance"][10:20].values,
    )
    again = build(tmp_path)  # stored this time
    assert again == folder
    assert published_dataset(folder)[1].mode == "stored"
    assert (folder / "spectra.zarr").exists()


def test_a_dataset_of_other_physics_is_not_made_again(stored: Location, tmp_path: Path) -> None:
    manifest = published_dataset(stored)[1].model_copy(update={"fingerprint": "0" * 16})
    write_record(manifest_in(Location.of(tmp_path)), manifest)
    with pytest.raises(
        InputError, match=f"fingerprint 0000000000000000.*'toy' would make {stored.name};"
    ):
        open_dataset(tmp_path, virtual=True)


@pytest.mark.parametrize("mode", [pytest.param("virtual", marks=pytest.mark.slow), "endless"])
def test_rows_without_number_cost_nothing_before_they_are_looked_at(
    mode: str, tmp_path: Path
) -> None:
    """Drawing them all took 26 GB at 1e8 rows."""
    count = 10**8
    folder = build(tmp_path, f"dataset.mode={mode}", f"dataset.n_train={count}")
    open_dataset(folder)  # what every dataset of this process shares is there
    tracemalloc.start()
    data, endless = open_dataset(folder), open_endless(folder)
    far = data.isel(spectrum=[count - 1, 5])
    found = {name: far[name].values for name in (*PIXEL_VARIABLES, *ROW_VARIABLES)}
    made = endless.spectra(np.array([count - 1]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000_000
    assert data.sizes["spectrum"] == endless.rows == count
    for name, values in found.items():
        assert np.array_equal(values[:1], made[name].values)


def test_what_was_opened_travels_to_another_process(stored: Location) -> None:
    data, endless = open_dataset(stored, virtual=True), open_endless(stored)
    expected = data["flux"][3:5].values  # and what is kept of it stays here
    sent = pickle.dumps((data, endless))
    assert len(sent) < 200_000
    again, split = pickle.loads(sent)
    assert np.array_equal(again["flux"][3:5].values, expected)
    assert np.array_equal(split.spectra(np.array([3, 4]))["flux"].values, expected)
    assert again["teff"].identical(data["teff"])
