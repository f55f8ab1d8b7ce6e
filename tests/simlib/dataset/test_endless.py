"""A training set without end begins with the stored rows and never repeats one."""

from pathlib import Path

import numpy as np
import pytest

from simlib.config import load_config
from simlib.dataset.endless import open_endless
from simlib.dataset.layout import PIXEL_VARIABLES, ROW_VARIABLES
from simlib.dataset.manifest import dataset_fingerprint
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published, published_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.stellar import open_grid
from tests.simlib.dataset.toy_build import OVERRIDES, build


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Location:
    return build(tmp_path_factory.mktemp("stored"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_it_begins_with_the_stored_rows_bit_for_bit(stored: Location, split: str) -> None:
    kept, endless = open_dataset(stored, split), open_endless(stored, split)
    assert endless.rows == kept.sizes["spectrum"]
    assert endless.pixels == kept.sizes["wavelength"]
    made = endless.spectra(np.arange(endless.rows))
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert made[name].dtype == kept[name].dtype
        assert np.array_equal(made[name].values, kept[name].values), name


def test_a_row_is_the_same_whatever_is_made_with_it(stored: Location) -> None:
    endless = open_endless(stored)
    whole = endless.spectra(np.arange(290, 1300))
    some = np.array([1299, 290, 700, 700, 301])
    again = endless.spectra(some)
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert np.array_equal(again[name].values, whole[name].values[some - 290])
    assert endless.spectra(np.arange(0)).sizes["spectrum"] == 0


def test_no_spectrum_comes_twice_nor_from_another_split(stored: Location) -> None:
    endless = open_endless(stored)
    flux = endless.spectra(np.arange(1000))["flux"].values
    assert len(np.unique(flux, axis=0)) == 1000
    other = open_endless(stored, "validation").spectra(np.arange(1000))["redshift"].values
    assert not np.isin(endless.spectra(np.arange(1000))["redshift"].values, other).any()


def test_rows_far_away_are_as_cheap_as_the_first(stored: Location) -> None:
    far = open_endless(stored).spectra(10**12 + np.arange(3))
    assert np.isfinite(far["flux"].values).all() and len(np.unique(far["redshift"])) == 3


def test_an_endless_dataset_stores_nothing_and_holds_out_the_same_spectra(
    stored: Location, tmp_path: Path
) -> None:
    folder = build(tmp_path, "dataset.mode=endless")
    assert published_dataset(folder)[1].mode == "endless"
    assert not (folder / "spectra.zarr").exists()
    kept, made = open_dataset(stored, "validation"), open_dataset(folder, "validation")
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert np.array_equal(made[name].values, kept[name].values)


def test_the_mode_leaves_the_fingerprint_alone(tmp_path: Path) -> None:
    grid = open_grid("toy")
    identities = {
        dataset_fingerprint(load_config("tiny", [*OVERRIDES, f"dataset.mode={mode}"]), grid)
        for mode in ("stored", "virtual", "endless")
    }
    assert len(identities) == 1


@pytest.mark.parametrize(
    ("made", "asked", "is_enough"),
    [("stored", "endless", True), ("stored", "virtual", True), ("virtual", "endless", True),
     ("endless", "virtual", True), ("endless", "stored", False), ("virtual", "stored", False)],
)  # fmt: skip
def test_a_stored_dataset_serves_every_mode_and_others_all_but_stored(
    made: str, asked: str, is_enough: bool, stored: Location, tmp_path: Path
) -> None:
    if made == "stored":
        root = stored.path.parents[2]
    else:
        root = tmp_path
        build(root, f"dataset.mode={made}")
    config = load_config("tiny", [f"storage.root='{root}'", *OVERRIDES, f"dataset.mode={asked}"])
    assert (published(config) is not None) == is_enough


def test_a_split_that_was_not_made_has_no_rows(stored: Location) -> None:
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        open_endless(stored, "test")


def test_rows_whose_terms_are_computed_directly_are_those_that_a_store_would_hold(
    tmp_path: Path,
) -> None:
    folder = build(tmp_path, "terms.source=direct", "dataset.mode=endless", "dataset.n_train=20")
    endless, kept = open_endless(folder), open_dataset(folder)
    assert endless.pixels == kept.sizes["wavelength"]
    made = endless.spectra(np.array([19, 3]))
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert made[name].dtype == kept[name].dtype
        assert np.array_equal(made[name].values, kept[name].values[[19, 3]])
