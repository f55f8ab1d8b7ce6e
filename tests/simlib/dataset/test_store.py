"""The store: blocks on shard edges, whole or absent, readable by xarray alone."""

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simlib.artifact import parse_record, write_record
from simlib.config import Dataset
from simlib.dataset import layout
from simlib.dataset import plan as plans
from simlib.dataset.damage import is_undamaged
from simlib.dataset.layout import (
    PIXEL_VARIABLES as PIXELS_OF,
)
from simlib.dataset.layout import (
    ROW_VARIABLES,
    as_kept,
    block_files,
    dtype_of,
    row_files,
    template_files,
)
from simlib.dataset.open import open_dataset
from simlib.dataset.places import arrays_in, record_in
from simlib.dataset.plan import Block, Plan
from simlib.dataset.publish import published_folder
from simlib.dataset.store import readable_block, records_of, write_block, write_template
from simlib.errors import InputError
from simlib.location import Location
from tests.faults.failing_disk import Watcher, flip, watching
from tests.simlib.dataset.made import (
    EXAMPLE,
    IDENTITY,
    PIXELS,
    make_plan,
    make_published,
    make_store,
    publish_made,
    spectra,
)

PLAN = make_plan()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_blocks_cover_every_row_once_and_stay_within_their_split() -> None:
    blocks = list(PLAN.blocks())
    assert [(b.split, b.start, b.stop) for b in blocks] == [
        ("train", 0, 8), ("train", 8, 16), ("train", 16, 20), ("validation", 0, 7),
    ]  # fmt: skip
    assert len({block.name for block in blocks}) == len(blocks)


def test_chunks_that_do_not_divide_a_block_are_refused() -> None:
    with pytest.raises(
        InputError, match="dataset.chunk = 100 does not divide dataset.block = 1024; .* as 64$"
    ):
        plans.make_plan(Dataset(chunk=100), "lz4", PLAN.first_row)
    for block, chunk, divisor in ((90, 44, 30), (90, 89, 45), (49, 13, 7), (13, 12, 1)):
        with pytest.raises(InputError, match=f"divisor such as {divisor}$"):
            plans.make_plan(Dataset(block=block, chunk=chunk), "lz4", PLAN.first_row)


@pytest.mark.parametrize(
    ("train", "block"),
    [(1, 1024), (10_240, 1024), (131_069, 1024), (131_070, 2048), (200_000, 3072),
     (262_142, 4096), (81_000_000, 4096), (83_000_000, 5120), (100_000_000, 5120),
     (1_000_000_000, 8192)],
)  # fmt: skip
def test_blocks_are_larger_in_larger_datasets(train: int, block: int) -> None:
    dataset = Dataset(n_train=train, n_validation=1, n_test=1)
    plan = plans.make_plan(dataset, "lz4", PLAN.first_row)
    assert plan.block == block
    blocks = sum(-(-rows // block) for rows in plan.rows.values())
    assert blocks <= 20_000 or block == 8192
    assert blocks >= 64 or block == 1024
    if block > 4096:
        assert sum(-(-r // (block - 1024)) for r in plan.rows.values()) > 19_997


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("place", ["folder", "memory://"])
def test_what_was_written_is_read_back_exactly(codec: str, place: str, tmp_path: Path) -> None:
    versions = str(tmp_path / "d") if place == "folder" else f"memory://{codec}/d"
    plan = make_plan(codec)
    make_published(versions, plan)
    for split, count in plan.rows.items():
        data = open_dataset(versions, split)
        expected = spectra(Block(split, 0, count))
        assert dict(data.sizes) == {"spectrum": count, "wavelength": PIXELS}
        assert data["flux"].dtype == np.float32 and data["wavelength"].dtype == np.float64
        assert np.array_equal(data["wavelength"].values, expected["wavelength"].values)
        for name, variable in expected.data_vars.items():
            assert np.array_equal(data[name].values, variable.values.astype(data[name].dtype))


ROWS = {
    "one": 7,
    "the last": -1,
    "over the edge of a block": slice(6, 18),
    "beyond the end": slice(18, 40),
    "none": slice(3, 3),
    "strided": slice(None, None, 7),
    "reversed and strided": slice(18, 3, -4),
    "a list, unsorted and repeated": [19, 0, 3, 3],
    "boolean": np.arange(20) % 7 == 3,
}


@pytest.mark.parametrize("key", ROWS.values(), ids=ROWS.keys())
def test_rows_and_pixels_are_chosen_as_of_an_array(key: Any, tmp_path: Path) -> None:
    make_published(tmp_path, PLAN)
    data, whole = open_dataset(tmp_path), open_dataset(tmp_path).load()
    for pixels in (slice(None), 5, [3, 1, 30], slice(None, None, -3)):
        chosen = data["flux"][key][..., pixels]
        assert np.array_equal(chosen.values, whole["flux"].values[key][..., pixels])
    assert np.array_equal(data["snr"][key].values, whole["snr"].values[key])
    with pytest.raises(IndexError):
        _ = data["flux"][20].values


@pytest.mark.filterwarnings("error")
def test_xarray_alone_opens_a_group_with_its_units(tmp_path: Path) -> None:
    folder = make_published(tmp_path, PLAN)
    data = xr.open_zarr(str(arrays_in(folder)), group="validation")
    assert data["teff"].attrs["units"] == "1"
    assert data["wavelength"].attrs["units"] == "nm"
    ours = open_dataset(folder, "validation")
    assert ours.load().identical(data.load())


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
def test_every_chunk_of_every_array_carries_its_checksum(codec: str) -> None:
    plan = PLAN.model_copy(update={"codec": codec})
    for name, data in template_files(plan, EXAMPLE).items():
        told = json.loads(data) if name.endswith("/zarr.json") else {}
        if told.get("node_type") == "array":
            codecs = told["codecs"]
            if codecs[0]["name"] == "sharding_indexed":
                assert codecs[0]["configuration"]["index_codecs"][-1]["name"] == "crc32c"
                codecs = codecs[0]["configuration"]["codecs"]
            assert codecs[-1]["name"] == "crc32c", name


def test_an_opened_store_travels_to_another_process(tmp_path: Path) -> None:
    make_published(tmp_path, PLAN)
    data = open_dataset(tmp_path)
    sent = pickle.dumps(data)
    assert len(sent) < 300_000
    assert pickle.loads(sent).load().identical(data.load())


def test_a_block_is_three_objects(tmp_path: Path) -> None:
    """Flux, variance, record; what has one value a row is written when all is there."""
    folder = make_store(tmp_path, PLAN, blocks=[])
    before = set(folder.sizes())
    make_store(tmp_path, PLAN)
    assert set(folder.sizes()) - before == {
        *(f"spectra.zarr/train/{name}/c/{number}/0" for name in PIXELS_OF for number in range(3)),
        *(f"spectra.zarr/validation/{name}/c/0/0" for name in PIXELS_OF),
        *(f"parts/{block.name}.json" for block in PLAN.blocks()),
    }


@pytest.mark.parametrize("name", ["flux", "interpolated_axis"])
def test_nothing_but_fill_values_is_written_all_the_same(name: str) -> None:
    """A file that is not there is one that was lost."""
    block, chunk = Block("train", 0, 8), Block("train", 0, 20)
    for part, files_of in ((block, block_files), (chunk, row_files)):
        empty = spectra(part)
        empty[name][:] = 0 if name == "interpolated_axis" else np.nan
        files = files_of(PLAN, part, as_kept(empty))
        names = PIXELS_OF if part is block else ROW_VARIABLES
        assert set(files) == {f"train/{one}/c/0{'/0' * (part is block)}" for one in names}


def test_row_variables_are_cut_into_large_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "ROW_CHUNK", 6)
    layout._empty_array.cache_clear()
    folder = Location.of(tmp_path / IDENTITY)
    publish_made(folder, PLAN)
    files = {name for name in arrays_in(folder).sizes() if "/teff/c/" in name}
    assert files == {*(f"train/teff/c/{n}" for n in range(4)), "validation/teff/c/0",
                     "validation/teff/c/1"}  # fmt: skip
    for split, count in PLAN.rows.items():
        data, expected = open_dataset(tmp_path, split), spectra(Block(split, 0, count))
        for name in ROW_VARIABLES:
            assert np.array_equal(data[name].values, as_kept(expected)[name])
    layout._empty_array.cache_clear()


def test_a_record_holds_what_the_draw_does_not_tell(tmp_path: Path) -> None:
    records = records_of(make_store(tmp_path, PLAN), PLAN)
    for block in PLAN.blocks():
        for name, values in records[block.name].simulated().items():
            assert np.array_equal(values, as_kept(spectra(block))[name])


def test_every_builder_makes_the_same_files() -> None:
    assert all(template_files(PLAN, EXAMPLE) == template_files(PLAN, EXAMPLE) for _ in range(5))


def test_writing_a_block_or_the_template_twice_changes_nothing(tmp_path: Path) -> None:
    folder = make_store(tmp_path, PLAN)
    block, before = Block("train", 8, 16), contents(tmp_path)
    write_block(folder, PLAN, block, as_kept(spectra(block)))
    write_template(folder, PLAN, EXAMPLE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "rows", [(0, 4), (4, 12), (8, 20), (16, 24), (1, 8), (16, 19), (24, 32), (0, 0), (8, 8)]
)
def test_what_is_not_one_whole_block_is_refused(rows: tuple[int, int], tmp_path: Path) -> None:
    """A neighbour would undo it, or it the neighbour."""
    folder, block = make_store(tmp_path, PLAN), Block("train", *rows)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"rows {rows[0]} to {rows[1]} .* one whole block of 8"):
        write_block(folder, PLAN, block, as_kept(spectra(block)))
    assert contents(tmp_path) == before


def test_a_block_of_wrong_length_is_a_bug_that_is_caught(tmp_path: Path) -> None:
    folder = make_store(tmp_path, PLAN, blocks=[])
    with pytest.raises(ValueError, match="needs 8 rows, got 3"):
        write_block(folder, PLAN, Block("train", 0, 8), as_kept(spectra(Block("train", 0, 3))))


def test_what_does_not_read_back_is_an_error(
    tmp_path: Path,
) -> None:
    folder = make_store(tmp_path, PLAN, blocks=[])

    def damage(source: Path, target: Path) -> None:
        if target.parts[-3] == "c":
            flip(source)

    with (
        watching(Watcher(tmp_path, on_move=damage)),
        pytest.raises(OSError, match="reads back differently"),
    ):
        write_block(folder, PLAN, Block("train", 0, 8), as_kept(spectra(Block("train", 0, 8))))


def test_an_absent_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset at .*nothing; build it"):
        open_dataset(tmp_path / "nothing")


def test_a_half_written_dataset_is_refused_with_its_state(tmp_path: Path) -> None:
    make_store(tmp_path, PLAN, blocks=list(PLAN.blocks())[:3])
    with pytest.raises(InputError, match="not complete: 3 of 4 blocks are done"):
        open_dataset(tmp_path)


def test_what_cannot_be_read_of_a_block_is_told_with_its_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_store(tmp_path / IDENTITY, PLAN)
    records = records_of(folder, PLAN)
    assert all(is_undamaged(folder, record) for record in records.values())
    shard = arrays_in(folder).path / "train/variance/c/2/0"
    content = bytearray(shard.read_bytes())
    content[30] ^= 4
    shard.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        good = {name for name, record in records.items() if is_undamaged(folder, record)}
    assert records.keys() - good == {"train-00000016"}
    assert len(caplog.messages) == 1
    assert f"{arrays_in(folder)}/train/variance, rows 16 on: " in caplog.messages[0]


def test_values_of_another_block_are_damage(tmp_path: Path) -> None:
    folder = make_store(tmp_path / IDENTITY, PLAN)
    records, arrays = records_of(folder, PLAN), arrays_in(folder).path
    one, other = (arrays / f"train/flux/c/{number}/0" for number in (0, 1))
    other.write_bytes(one.read_bytes())
    bad = {name for name, record in records.items() if not is_undamaged(folder, record)}
    assert bad == {"train-00000008"}


def test_a_split_that_was_not_made_is_refused(tmp_path: Path) -> None:
    make_published(tmp_path, PLAN)
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        open_dataset(tmp_path, "test")


def test_a_dataset_is_found_by_its_name_its_folder_and_its_arrays(tmp_path: Path) -> None:
    folder = make_published(tmp_path, PLAN)
    for place in (tmp_path, folder, str(arrays_in(folder)), f"{folder}/"):
        assert published_folder(place) == folder


@pytest.mark.parametrize(
    ("fingerprint", "message"),
    [("../elsewhere", "should match pattern"), ("/etc", "should match pattern"),
     ("0123456789ABCDEF", "should match pattern"), (7, "should be a valid string")],
)  # fmt: skip
def test_the_latest_version_is_never_outside_its_folder(
    fingerprint: Any, message: str, tmp_path: Path
) -> None:
    make_published(tmp_path, PLAN)
    record = {"fingerprint": fingerprint, "format_version": 3}
    (tmp_path / "latest.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"latest.json .*{message}.*specdenoise build CONFIG"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["latest.json", f"{IDENTITY}/manifest.json"])
def test_a_store_of_the_first_format_is_refused_with_the_way_out(name: str, tmp_path: Path) -> None:
    make_published(tmp_path, PLAN)
    record = {"fingerprint": IDENTITY, "format_version": 1}
    (tmp_path / name).write_text(json.dumps(record))
    with pytest.raises(InputError, match="format 1, this version reads 3; run `specdenoise build"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format_version": 99}, "format 99, this version reads 3"),
     ({"block": 0}, "block: Input should be greater than 0"),
     ({"codec": "gzip"}, "codec: Input should be"),
     ({"rows": {"trian": 3}}, "rows.trian"),
     ({"block": 9}, "its digest is")],
)  # fmt: skip
def test_another_plan_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = make_store(tmp_path, PLAN)
    place = folder / "parts" / "plan.json"
    record = json.loads(place.path.read_text()) | change
    with pytest.raises(InputError, match=f"{message}.*CONFIG --repair`"):
        parse_record(place, json.dumps(record).encode(), Plan)


@pytest.mark.parametrize(
    "change", [{"start": 1}, {"stop": 9}, {"split": "test"}, {"sizes": {"train/flux/c/0/0": 5}},
               {"snr": b"AAAA"}, {"flux_scale": b""}],
)  # fmt: skip
def test_a_record_of_something_else_than_its_name_says_is_none(
    change: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, block = make_store(tmp_path, PLAN), next(PLAN.blocks())
    record = records_of(folder, PLAN)[block.name]
    write_record(record_in(folder, block), record.model_copy(update=change))
    assert block.name not in records_of(folder, PLAN)
    assert readable_block(folder, PLAN, block) is None
    (told,) = set(caplog.messages)
    assert "is not the record of rows 0 to 7 of 'train' (it says " in told
    assert told.endswith("CONFIG --repair`, which makes it again")


def test_a_whole_number_stays_one() -> None:
    assert dtype_of("interpolated_axis") == np.int8


@pytest.mark.parametrize(
    ("key", "told"), [([3, 20], "rows 3 to 20 of 20"), (-21, "rows -21 to -21 of 20")]
)
def test_rows_that_are_not_there_are_told_with_how_many_are(key: Any, told: str) -> None:
    with pytest.raises(IndexError, match=f"^{told}$"):
        plans.rows_of(key, 20)
    assert plans.rows_of([-1, 0, 19], 20).tolist() == [19, 0, 19]
