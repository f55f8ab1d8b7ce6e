"""What cannot fit is refused before anything is written; what fits is told in one line."""

import logging
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from simlib.dataset.build import build_dataset
from simlib.dataset.plan import cut_of
from simlib.dataset.publish import folder_of
from simlib.dataset.space import free_bytes, need_of, require_space
from simlib.dataset.tasks import blocks_a_task
from simlib.errors import InputError
from simlib.location import Location
from simlib.words import size_text, time_text
from tests.simlib.dataset.made import make_plan, make_store
from tests.simlib.dataset.toy_build import build, toy_config

Usage = namedtuple("Usage", "total used free")


class Threads:
    """A client that has two workers of two threads."""

    def nthreads(self) -> dict[str, int]:
        return {"a": 2, "b": 2}


CLIENT: Any = Threads()
PLAN = make_plan()


def leave(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**15, 0, int(free)))


def test_a_hundred_million_rows_do_not_begin_on_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 61e9)
    config = toy_config(tmp_path / "root", "dataset.n_train=100_000_000")
    with pytest.raises(InputError, match=r"100,000,005 spectra of .* need about 2.42 TB, and 61 GB "
                       r"are free there; .*storage.root.*dataset.n_train.*virtual"):  # fmt: skip
        build_dataset(config, tmp_path / "terms", CLIENT)
    assert not (tmp_path / "root").exists()


def test_what_is_stored_is_as_large_as_was_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = toy_config(tmp_path)
    told = need_of(config, folder_of(config))
    assert (told.rows, told.of_rows) == (305, 305)
    with caplog.at_level(logging.INFO):
        folder = build(tmp_path)
    assert sum("305 of 305 spectra to do: " in line for line in caplog.messages) == 1
    shards = {n: s for n, s in folder.sizes().items() if "/flux/c" in n or "/variance/c" in n}
    assert told.least_bytes < sum(shards.values()) < 1.02 * told.bytes
    caplog.clear()
    with caplog.at_level(logging.INFO):
        build(tmp_path)  # all is there
    assert not any("spectra to do" in line for line in caplog.messages)


@pytest.mark.parametrize(("codec", "low", "high"), [("none", 32_700, 33_000), ("zstd", 2e4, 3.2e4)])
def test_a_codec_has_its_own_size(codec: str, low: float, high: float, tmp_path: Path) -> None:
    config = toy_config(tmp_path, f"storage.codec={codec}")
    assert low < need_of(config, folder_of(config)).bytes / 305 < high


def test_blocks_that_are_there_are_done_and_the_store_s_own_plan_rules(tmp_path: Path) -> None:
    folder = make_store(tmp_path, PLAN, blocks=list(PLAN.blocks())[1:3])  # 8 and 4 of 27 rows
    config = toy_config(tmp_path, "storage.codec=none")
    left = need_of(config, folder)
    assert (left.rows, left.of_rows) == (15, 27)
    assert left.bytes < 15 * 32_700  # lz4, as it was begun


def test_what_nearly_fits_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other stars may be kept in fewer bytes; a full disk is met by the writer."""
    config = toy_config(tmp_path)
    folder = folder_of(config)
    needed = need_of(config, folder)
    assert needed.least_bytes < 0.8 * needed.bytes
    leave(monkeypatch, needed.least_bytes)
    require_space(config, folder, CLIENT)
    leave(monkeypatch, needed.least_bytes - 1)
    with pytest.raises(InputError, match="305 spectra"):
        require_space(config, folder, CLIENT)


def test_nothing_is_asked_of_a_url_or_of_a_dataset_that_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(monkeypatch, 0)
    virtual = toy_config(tmp_path, "dataset.mode=virtual")
    require_space(virtual, folder_of(virtual), CLIENT)
    far = toy_config("memory://space", "dataset.n_train=100_000_000")
    with caplog.at_level(logging.INFO):
        require_space(far, folder_of(far), CLIENT)
    many = toy_config("memory://space", "dataset.n_train=100_000_000", "dataset.block=4096",
                      "dataset.chunk=128")  # fmt: skip
    with caplog.at_level(logging.INFO):
        require_space(many, folder_of(many), CLIENT)
    assert caplog.messages == [  # blocks of 32 rows take longer
        "100,000,005 of 100,000,005 spectra to do: 2.42 TB, about 5.48 h on 4 workers",
        "100,000,005 of 100,000,005 spectra to do: 2.42 TB, about 70.3 min on 4 workers",
    ]


def test_free_space_is_that_of_the_nearest_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda p: asked.append(p) or Usage(3, 1, 2))
    assert free_bytes(Location.of(tmp_path / "not" / "yet" / "there")) == 2
    assert asked == [tmp_path]


def test_sizes_and_times_are_readable() -> None:
    assert [size_text(n) for n in (2.42e12, 5.2e9, 999e6, 12e3)] == [
        "2.42 TB", "5.2 GB", "999 MB", "12 kB"]  # fmt: skip
    assert [time_text(s) for s in (12.3, 119, 150, 7200, 260_000)] == [
        "12.3 s", "119 s", "2.5 min", "2 h", "3.01 days"]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 1025, 20_000_000, 10**8, 163_840_000, 10**9, 3 * 10**9])
def test_tasks_are_never_more_than_a_scheduler_takes(rows: int) -> None:
    dataset = toy_config("/x").dataset.model_copy(
        update={"n_train": rows, "n_validation": 3, "n_test": 3, "block": "auto", "chunk": 128}
    )
    counts, block = cut_of(dataset)
    blocks = [-(-count // block) for count in counts.values()]
    each = blocks_a_task(blocks)
    assert sum(-(-some // each) for some in blocks) <= 20_000
    assert each == 1 or sum(-(-some // (each - 1)) for some in blocks) > 20_000
    assert each == 1 or block == 8192


def test_a_damaged_plan_counts_nothing_as_done(tmp_path: Path) -> None:
    folder = make_store(tmp_path, PLAN)
    (folder / "parts" / "plan.json").path.write_text("{")
    assert need_of(toy_config(tmp_path), folder).rows == 305


def test_it_costs_one_listing_whatever_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_store(tmp_path, PLAN)
    monkeypatch.setattr(Location, "read_files", None)
    assert need_of(toy_config(tmp_path), folder).rows == 0
