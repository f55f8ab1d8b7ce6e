"""What a build is said to take is what it takes; arithmetic, recomputed here."""

from itertools import cycle
from pathlib import Path

import pytest
import xarray as xr

from simlib.dataset import measure as measuring
from simlib.dataset.estimate import Cost, actual_of, cost_of, estimate
from simlib.dataset.measure import Measured, measure
from simlib.dataset.plan import Block, cut_of
from simlib.dataset.prices import Prices, read_prices
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import Recipe
from simlib.dataset.scheduler_load import scheduler_load
from simlib.errors import InputError
from tests.simlib.dataset.toy_build import build, toy_config

ONE = Measured(
    spectra=256, pixels=4096, set_up_s=3.0, block_s=16e-3, computing_s=0.25e-3,
    writing_s=0.75e-3, shard_bytes=24_000.0, row_bytes=60.0, record_bytes=11.0, block_files=2,
    template_files=20, template_bytes=50_000, memory_bytes=500_000_000,
)  # fmt: skip


def test_an_estimate_is_its_arithmetic() -> None:
    got = estimate({"train": 200_000, "test": 1500}, 1024, 4, ONE)
    assert got.blocks == got.tasks == 196 + 2
    # a shard of flux, one of variance, a record; 16 row variables in chunks of 2**17 rows;
    # each split's metadata and the root's; plan, config, manifest, latest
    assert got.objects == 3 * 198 + 16 * (2 + 1) + 2 * 19 + 1 + 4
    assert got.bytes == 201_500 * 24_071 + 2 * 50_000
    assert got.core_seconds == pytest.approx(201.5 + 198 * 0.016)
    assert got.seconds == pytest.approx(3.0 + 50 * 1.04)  # 198 tasks in 50 rounds
    assert got.core_hours == pytest.approx((got.core_seconds + 4 * 3.0) / 3600)
    assert got.memory_bytes == 500_000_000 + 3 * 1024 * 4096 * 8


def test_of_fewer_blocks_than_workers_some_have_nothing_to_do() -> None:
    few = estimate({"train": 3 * 1024}, 1024, 100, ONE)
    assert few.seconds == pytest.approx(3.0 + 1.04)
    assert estimate({"train": 10}, 1024, 100, ONE).seconds == pytest.approx(3.026)


def test_a_hundred_million_and_thirty_times_that_stay_within_the_tasks() -> None:
    many = estimate({"train": 10**8}, 5120, 1000, ONE)
    assert (many.blocks, many.tasks) == (19_532, 19_532)
    assert many.seconds == pytest.approx(3.0 + 20 * 5.136)
    more = estimate({"train": 3 * 10**9}, 8192, 1000, ONE)
    assert (more.blocks, more.tasks) == (366_211, 19_275)  # of nineteen blocks each
    assert more.memory_bytes < 2e9  # a task's blocks are made one after the other
    assert more.core_seconds == pytest.approx(3e6 + 366_211 * 0.016)
    assert more.seconds == pytest.approx(3.0 + 20 * 19 * 8.208)


def test_a_cost_is_its_prices() -> None:
    got = estimate({"train": 360_000}, 1024, 10, ONE)
    prices = Prices(currency="EUR", core_hour=2.0, gb_month=0.5, thousand_puts=4.0)
    cost = cost_of(got, prices)
    assert cost == Cost(
        "EUR", pytest.approx(2.0 * (390 + 352 * 0.016) / 3600),
        pytest.approx(0.5 * got.bytes / 1e9),
        pytest.approx(4.0 * got.objects / 1000),
    )  # fmt: skip
    assert cost.once == pytest.approx(cost.computing + cost.writing)


def test_a_person_s_prices_are_read_and_mistakes_told(tmp_path: Path) -> None:
    assert read_prices().currency == "USD"
    mine = tmp_path / "mine.toml"
    mine.write_text('currency = "EUR"\ncore_hour = 1\ngb_month = 0\nthousand_puts = 3.5\n')
    assert read_prices(mine) == Prices(
        currency="EUR", core_hour=1.0, gb_month=0.0, thousand_puts=3.5
    )
    for text, message in (
        ('currency = "EUR"\ncore_hour = -1\ngb_month = 0\nthousand_puts = 0', "core_hour = -1"),
        ("core_hour = 1", "currency is missing"),
        ('currency = "EUR"\ncore_hours = 1\ngb_month = 0\nthousand_puts = 0', "core_hours"),
        ("=", "is not valid TOML"),
    ):
        mine.write_text(text)
        with pytest.raises(InputError, match=message):
            read_prices(mine)
    with pytest.raises(InputError, match="cannot read table of prices"):
        read_prices(tmp_path / "none.toml")


def test_a_build_is_as_large_as_was_estimated(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    of_one = measure(config)
    assert not tmp_path.exists() or not any(tmp_path.iterdir())  # nothing was written there
    assert of_one.spectra == 256 and of_one.pixels == 4096
    assert min(of_one.set_up_s, of_one.block_s, of_one.computing_s, of_one.writing_s) > 0
    assert of_one.computing_s < of_one.block_s  # one row takes most of what a few do
    planned = estimate(*cut_of(config.dataset), 2, of_one)
    folder = build(tmp_path)
    actual = actual_of(*published_dataset(folder))
    assert (planned.rows, planned.blocks) == (actual.rows, actual.blocks) == (305, 11)
    assert actual.objects == sum(1 for p in tmp_path.rglob("*") if p.is_file()
                                 and "datasets" in p.parts)  # fmt: skip
    assert planned.objects == actual.objects
    assert planned.bytes == pytest.approx(actual.bytes, rel=0.05)
    assert actual.core_seconds > 0
    next((folder / "parts").path.glob("train-*.json")).unlink()
    without = actual_of(*published_dataset(folder))  # the manifest alone tells
    assert without.core_seconds == actual.core_seconds


@pytest.mark.parametrize("spectra", [1, 64])
def test_what_a_block_takes_is_told_from_what_its_rows_take(
    spectra: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else the machine does: others' time is not counted, nor what once took longer."""
    processor, wall, rows = [0.0], [0.0], Recipe.rows
    others, slower = cycle((0.0, 70.0, 5000.0)), cycle((0.0, 900.0, 40.0, 40.0, 0.0))

    def slow(recipe: Recipe, block: Block) -> xr.Dataset:
        spent = 10.0 + 2.0 * (block.stop - block.start) + next(slower)
        processor[0] += spent
        wall[0] += spent + next(others)
        return rows(recipe, block)

    monkeypatch.setattr(Recipe, "rows", slow)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: wall[0])
    monkeypatch.setattr(measuring.time, "process_time", lambda: processor[0])
    of_one = measure(toy_config(tmp_path), spectra)
    assert (of_one.set_up_s, of_one.block_s, of_one.writing_s) == (12.0, 12.0, 0.0)
    assert of_one.computing_s == (2.0 if spectra > 1 else 0.0)


def test_a_block_that_is_measured_is_whole_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    write = measuring.write_block

    def spy(folder: object, plan: object, *more: object) -> object:
        seen.append(plan)
        return write(folder, plan, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "write_block", spy)
    for chunk, spectra in ((48, 240), (1000, 256)):
        config = toy_config(tmp_path, f"dataset.chunk={chunk}", "dataset.block=48000",
                            "storage.codec=none")  # fmt: skip
        assert measure(config).spectra == spectra
        assert (seen[-1].block, seen[-1].codec) == (spectra, "none")
        assert 32_768 <= measure(config, 64).shard_bytes < 33_000


def test_empty_tasks_take_the_scheduler_some_time() -> None:
    load = scheduler_load(20)
    assert load.tasks == 20 and load.seconds > 0 and load.processor_seconds > 0
