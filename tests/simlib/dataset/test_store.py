"""The store: blocks on shard edges, whole or absent, readable by xarray alone."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simlib.config import Dataset, Storage
from simlib.dataset.plan import Block, Plan, make_plan
from simlib.dataset.store import block_checksum, open_dataset, write_block, zarr_location
from simlib.errors import InputError
from simlib.storage import join, write_json
from tests.simlib.dataset.made import PIXELS, make_store, spectra

PLAN = Plan({"train": 20, "validation": 7}, block=8, chunk=4, codec="lz4")
STORAGE = Storage()


def publish(folder: str, storage: Storage = STORAGE) -> None:
    write_json(join(folder, "manifest.json"), {}, storage.options)


def test_blocks_cover_every_row_once_and_stay_within_their_split() -> None:
    blocks = list(PLAN.blocks())
    assert [(b.split, b.start, b.stop) for b in blocks] == [
        ("train", 0, 8), ("train", 8, 16), ("train", 16, 20), ("validation", 0, 7),
    ]  # fmt: skip
    assert len({block.name for block in blocks}) == len(blocks)


def test_chunks_that_do_not_divide_a_block_are_refused() -> None:
    with pytest.raises(
        InputError, match="dataset.chunk = 100 does not divide dataset.block = 1024"
    ):
        make_plan(Dataset(chunk=100), "lz4")


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("place", ["folder", "memory://"])
def test_what_was_written_is_read_back_exactly(codec: str, place: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "d") if place == "folder" else f"memory://{codec}/d"
    make_store(folder, Plan(PLAN.rows, PLAN.block, PLAN.chunk, codec), STORAGE)
    publish(folder)
    for split, count in PLAN.rows.items():
        data = open_dataset(folder, split)
        expected = spectra(Block(split, 0, count))
        assert dict(data.sizes) == {"spectrum": count, "wavelength": PIXELS}
        assert data["flux"].dtype == np.float32 and data["wavelength"].dtype == np.float64
        for name, variable in expected.data_vars.items():
            assert np.array_equal(data[name].values, variable.values.astype(data[name].dtype))


@pytest.mark.filterwarnings("error")
def test_xarray_alone_opens_a_group_with_its_units(tmp_path: Path) -> None:
    folder = str(tmp_path)
    make_store(folder, PLAN, STORAGE)
    data = xr.open_zarr(zarr_location(folder), group="validation")
    assert data["teff"].attrs["units"] == "1"
    assert data["wavelength"].attrs["units"] == "nm"


def test_a_block_is_one_file_a_variable(tmp_path: Path) -> None:
    make_store(str(tmp_path), PLAN, STORAGE)
    for name in ("flux", "snr"):
        files = [
            p for p in (tmp_path / "spectra.zarr/train" / name / "c").rglob("*") if p.is_file()
        ]
        assert len(files) == 3


def test_writing_a_block_twice_changes_nothing(tmp_path: Path) -> None:
    make_store(str(tmp_path), PLAN, STORAGE)
    block = Block("train", 8, 16)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    write_block(str(tmp_path), block, spectra(block), STORAGE)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_block_of_wrong_length_is_a_bug_that_is_caught(tmp_path: Path) -> None:
    make_store(str(tmp_path), PLAN, STORAGE, blocks=[])
    with pytest.raises(ValueError, match="needs 8 rows, got 3"):
        write_block(str(tmp_path), Block("train", 0, 8), spectra(Block("train", 0, 3)), STORAGE)


def test_the_checksum_sees_one_changed_byte(tmp_path: Path) -> None:
    make_store(str(tmp_path), Plan(PLAN.rows, 8, 4, "none"), STORAGE)
    block = Block("train", 0, 8)
    before = block_checksum(str(tmp_path), block, STORAGE)
    shard = tmp_path / "spectra.zarr/train/snr/c/0"
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(bytes(content))
    assert block_checksum(str(tmp_path), block, STORAGE) != before


def test_an_absent_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset at .*nothing; build it"):
        open_dataset(str(tmp_path / "nothing"))


def test_a_half_written_dataset_is_refused_with_its_state(tmp_path: Path) -> None:
    make_store(str(tmp_path), PLAN, STORAGE, blocks=list(PLAN.blocks())[:3])
    with pytest.raises(InputError, match="not complete: 3 of 4 blocks are done"):
        open_dataset(str(tmp_path))


def test_a_split_that_was_not_made_is_refused(tmp_path: Path) -> None:
    make_store(str(tmp_path), PLAN, STORAGE)
    publish(str(tmp_path))
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        open_dataset(str(tmp_path), "test")


def test_another_format_is_refused(tmp_path: Path) -> None:
    record = PLAN.as_dict() | {"format_version": 99}
    with pytest.raises(InputError, match="format 99, this version reads format 1"):
        Plan.from_dict(record)
