"""One suffix, one format: what was written is read back by the libraries that people use."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table

from simlib.dataset_file import SUFFIXES, check_suffix, write_dataset
from simlib.errors import InputError

ID = 5853498713190525696


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    names = np.array(["HD 1", 'Größe; "x"'], dtype=object)
    return xr.Dataset(
        {
            "flux": (("spectrum", "wavelength"), np.arange(6.0).reshape(2, 3), {"units": "1"}),
            "object_id": ("spectrum", np.array([ID, 7]), {"column": "Source"}),
            "name": ("spectrum", names),
            "axis": ("spectrum", np.array([-1, 2], dtype=np.int8)),
            "level": ((), 2.5),
            "profile": ("offset", np.ones(4)),
        },
        coords={"spectrum": [0, 4], "wavelength": ("wavelength", [710.0, 711.0, 712.5])},
        attrs={"seed": 7, "conditions": "seeing = 0.8, " * 12, "band": "hsc2017-i2"},
    )


def written(dataset: xr.Dataset, folder: Path, suffix: str) -> Path:
    path = folder / f"other{suffix}"
    write_dataset(dataset, path, suffix)
    return path


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_labelled_formats_hold_everything(suffix: str, dataset: xr.Dataset, tmp_path: Path) -> None:
    path = written(dataset, tmp_path, suffix)
    opened = xr.open_zarr(path, consolidated=False) if suffix == ".zarr" else None
    found = opened if opened is not None else xr.open_dataset(path, engine="h5netcdf")
    for name, variable in dataset.variables.items():
        assert found[name].values.tolist() == variable.values.tolist(), name
    assert found.attrs == dataset.attrs
    assert found["object_id"].dtype == np.int64


def test_text_formats_have_one_line_a_pixel(dataset: xr.Dataset, tmp_path: Path) -> None:
    path = written(dataset, tmp_path, ".csv")
    frame = pd.read_csv(path, comment="#")
    ecsv = Table.read(written(dataset, tmp_path, ".ecsv"), format="ascii.ecsv")
    for rows in (frame, ecsv):
        assert list(rows["flux"]) == [0, 1, 2, 3, 4, 5]
        assert list(rows["object_id"]) == [ID] * 3 + [7] * 3
        assert list(rows["name"])[3] == dataset["name"].values[1]
        assert list(rows["spectrum"]) == [0, 0, 0, 4, 4, 4]
        assert list(rows["wavelength"][:3]) == [710.0, 711.0, 712.5]
    assert "# seed: 7\n" in path.read_text(encoding="utf-8")
    assert ecsv.meta["seed"] == "7" and "wavelength" in ecsv.colnames


def test_arrays_hold_their_attributes_beside_them(dataset: xr.Dataset, tmp_path: Path) -> None:
    with np.load(written(dataset, tmp_path, ".npz")) as found:
        assert json.loads(str(found["attrs"]))["seed"] == "7"
        assert found["object_id"].tolist() == [ID, 7]
        assert found["name"].tolist() == dataset["name"].values.tolist()


def test_fits_has_images_and_a_table_for_each_dimension(
    dataset: xr.Dataset, tmp_path: Path
) -> None:
    with fits.open(written(dataset, tmp_path, ".fits")) as found:
        found.verify("exception")
        assert found[0].header["seed"] == 7 and found[0].header["level"] == 2.5
        assert "conditions: seeing = 0.8" in str(found[0].header["HISTORY"])
        assert found["FLUX"].data.tolist() == dataset["flux"].values.tolist()
        rows = found["SPECTRUM"].data
        assert rows["object_id"].tolist() == [ID, 7] and rows["axis"].tolist() == [-1, 2]
        assert rows["name"][0] == "HD 1" and "\\xf6" in rows["name"][1]
        assert found["WAVELENGTH"].data["wavelength"].tolist() == [710.0, 711.0, 712.5]


def test_a_name_tells_its_format_or_is_refused(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert check_suffix(tmp_path / f"x{suffix}").suffix == suffix
    for name in ("x.txt", "x", "folder/", "x.fit"):
        with pytest.raises(
            InputError, match=r"end it in \.zarr, \.nc, \.fits, \.ecsv, \.csv, \.npz"
        ):
            check_suffix(name)
    (tmp_path / "x.fits").mkdir()
    with pytest.raises(InputError, match="is a folder; choose another name"):
        check_suffix(tmp_path / "x.fits")
