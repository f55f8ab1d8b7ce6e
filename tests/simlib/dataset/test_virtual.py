"""A virtual dataset and a replayed row are the stored ones, bit for bit."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from simlib.config import load_config
from simlib.dataset.build import build_dataset, published
from simlib.dataset.store import PIXEL_VARIABLES, ROW_VARIABLES, open_dataset
from simlib.dataset.virtual import endless_blocks
from simlib.errors import InputError
from simlib.etc.grid import ensure_terms_grid
from simlib.storage import join, read_json, write_json

OVERRIDES = ["dataset.n_train=300", "dataset.n_validation=5", "stellar.grid=toy",
             "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]", "stellar.feh=[-1, 0]",
             "stellar.alpha=[0, 0.25]"]  # fmt: skip


def build(root: Path, *overrides: str) -> str:
    config = load_config("tiny", [f"storage.root='{root}'", *OVERRIDES, *overrides])
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        folder = build_dataset(config, ensure_terms_grid(config), client)
    assert published(config) == folder
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("stored"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_virtual_equals_stored_bit_for_bit(stored: str, split: str) -> None:
    kept, made = open_dataset(stored, split), open_dataset(stored, split, virtual=True)
    assert made.sizes == kept.sizes
    assert np.array_equal(made["wavelength"].values, kept["wavelength"].values)
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        assert made[name].dtype == kept[name].dtype
        assert made[name].dims == kept[name].dims
        assert made[name].attrs.get("units") == kept[name].attrs.get("units")
        assert np.array_equal(made[name].values, kept[name].values), name


def test_a_virtual_dataset_is_indexed_like_a_stored_one(stored: str) -> None:
    kept, made = open_dataset(stored), open_dataset(stored, virtual=True)
    for key in (7, -1, slice(250, 260), slice(None, None, 97), [299, 0, 3, 3]):
        for name in ("flux", "snr"):
            assert np.array_equal(made[name][key].values, kept[name][key].values)
    assert np.array_equal(made["flux"][5, 100:90:-2].values, kept["flux"][5, 100:90:-2].values)


def test_a_dataset_may_be_published_without_storing_it(stored: str, tmp_path: Path) -> None:
    folder = build(tmp_path, "dataset.mode=virtual")
    assert folder.rsplit("/", 1)[-1] == stored.rsplit("/", 1)[-1]
    assert not (Path(folder) / "spectra.zarr").exists()
    assert np.array_equal(
        open_dataset(folder)["variance"][10:20].values,
        open_dataset(stored)["variance"][10:20].values,
    )
    again = build(tmp_path)  # stored this time
    assert again == folder
    assert read_json(join(folder, "manifest.json"))["mode"] == "stored"
    assert (Path(folder) / "spectra.zarr").exists()


def test_fresh_spectra_never_end_and_begin_with_the_dataset_s(stored: str) -> None:
    kept = open_dataset(stored)
    blocks = list(islice(endless_blocks(stored, "train", 150), 3))
    for number, block in enumerate(blocks[:2]):
        rows = slice(150 * number, 150 * (number + 1))
        assert np.array_equal(block["flux"].values, kept["flux"][rows].values)
    assert not np.isin(blocks[2]["magnitude"].values, kept["magnitude"].values).any()


def test_a_dataset_of_other_physics_is_not_made_again(stored: str, tmp_path: Path) -> None:
    manifest = read_json(join(stored, "manifest.json"))
    (tmp_path / "parts").mkdir()
    write_json(join(str(tmp_path), "parts", "plan.json"), read_json(f"{stored}/parts/plan.json"))
    write_json(join(str(tmp_path), "manifest.json"), manifest | {"fingerprint": "0" * 16})
    with pytest.raises(InputError, match="fingerprint 0000000000000000.*would make"):
        open_dataset(str(tmp_path), virtual=True)
