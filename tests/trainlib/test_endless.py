"""Training without end: what the ranks see, what they hold, and how it stops."""

import threading
from dataclasses import dataclass, field
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import torch
import xarray as xr
from fsspec.implementations.memory import MemoryFileSystem

from simlib.artifact import write_record
from simlib.dataset.endless import EndlessSplit, open_endless
from simlib.dataset.open import open_dataset
from simlib.dataset.places import manifest_in
from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.judged_runs import page_without_figures
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, toy_config, train_here
from trainlib import runs
from trainlib.evaluation.evaluate import evaluate
from trainlib.training import launch
from trainlib.training.batches import _CALLS_AHEAD, _ROWS_A_CALL, Endless, open_source
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.data import dataset_identity
from trainlib.training.distributed import Ranks

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)
ROWS = 70  # an epoch: batches of 16 leave 6


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return str(build(tmp_path_factory.mktemp("stored"), f"dataset.n_train={ROWS}"))


@pytest.fixture(scope="module")
def split(stored):
    return open_endless(stored)


def source_of(split, ranks=ALONE, batch_size=16):
    return Endless(split, batch_size, ranks)


def seen(source, epochs):
    """Return the clean spectra of every batch of some epochs, and end the source."""
    try:
        return [list(source.epoch(number)) for number in epochs]
    finally:
        source.close()


def is_thread_left() -> bool:
    return any(thread.name == "prefetch" for thread in threading.enumerate())


def test_the_first_epoch_is_the_stored_split_and_later_ones_repeat_nothing(stored, split):
    kept = open_dataset(stored)
    epochs = seen(source_of(split), range(3))
    assert [len(batch.flux) for batch in epochs[0]] == [16, 16, 16, 16, 6]
    assert [batch.place for batch in epochs[2]] == [0, 16, 32, 48, 64]
    flux = torch.cat([batch.flux for epoch in epochs for batch in epoch]).numpy()
    sigma = torch.cat([batch.sigma for batch in epochs[0]]).numpy()
    assert np.array_equal(flux[:ROWS], kept["flux"].values)
    assert np.array_equal(sigma, np.sqrt(kept["variance"].values))
    assert len(np.unique(flux, axis=0)) == 3 * ROWS
    assert np.array_equal(flux[ROWS:], split.spectra(np.arange(ROWS, 3 * ROWS))["flux"].values)


@pytest.mark.parametrize("mode", ["stored", "endless"])
def test_parameters_come_with_their_spectra_where_they_are_asked_for(mode, stored, tmp_path):
    kept, names = open_dataset(stored), ("redshift", "teff")
    source = open_source(toy_config(tmp_path, mode=mode), Location.of(stored), ALONE, names)
    batches = seen(source, [0])[0]
    flux = torch.cat([batch.flux for batch in batches]).numpy()
    place = [int(np.flatnonzero((kept["flux"].values == row).all(axis=1))[0]) for row in flux]
    for name in names:
        found = np.concatenate([batch.labels[name] for batch in batches])
        assert np.array_equal(found, kept[name].values[place])
        assert np.array_equal(source.first(9).labels[name], kept[name].values[:9])
    source.close()


@pytest.mark.parametrize("world", [2, 7])  # 7: the last batch leaves a rank nothing
def test_the_ranks_hold_together_what_one_holds_alone(split, world):
    alone = [batch for epoch in seen(source_of(split), range(2)) for batch in epoch]
    ranks = [
        [s for epoch in seen(source_of(split, Ranks(n, world, CPU)), range(2)) for s in epoch]
        for n in range(world)
    ]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole.flux, torch.cat([part.flux for part in parts]))
        assert torch.equal(whole.sigma, torch.cat([part.sigma for part in parts]))
        assert next(part.place for part in parts if len(part.flux)) == whole.place
        assert {part.batch_rows for part in parts} == {len(whole.flux)}


def test_a_rank_without_a_row_of_any_batch_goes_along(split):
    batches = seen(source_of(split, Ranks(0, 2, CPU), batch_size=1), [0])[0]
    assert len(batches) == ROWS
    assert all(batch.flux.shape == (0, 4096) and batch.batch_rows == 1 for batch in batches)


def test_a_source_begun_at_a_later_epoch_goes_on_as_one_begun_at_the_first(split):
    whole, later = seen(source_of(split), range(4)), seen(source_of(split), [2, 3])
    for one, other in zip(whole[2] + whole[3], later[0] + later[1], strict=True):
        assert torch.equal(one.flux, other.flux) and one.place == other.place


def test_an_epoch_left_in_the_middle_begins_again_from_its_start(split):
    source = source_of(split)
    first = next(source.epoch(1))
    (again,) = seen(source, [1])
    assert torch.equal(first.flux, again[0].flux)
    assert not is_thread_left()


def test_the_statistics_are_those_of_the_stored_split(stored, tmp_path):
    sources = [open_source(toy_config(tmp_path, mode=mode), Location.of(stored), ALONE)
               for mode in ("stored", "endless")]  # fmt: skip
    kept, made = (source.first(50) for source in sources)
    assert torch.equal(kept.flux, made.flux) and torch.equal(kept.sigma, made.sigma)
    assert [source.rows for source in sources] == [ROWS, ROWS]


@dataclass
class Watched:
    """Stands for a split of a billion billion rows; keeps how many were asked for."""

    rows: int = 10**18
    pixels: int = 8
    calls: list[int] = field(default_factory=list)
    two_more: threading.Event = field(default_factory=threading.Event)

    def spectra(self, numbers, exposures=None):
        self.calls.append(len(numbers))
        flux = np.repeat(numbers[:, None] % 997 + 1.0, self.pixels, axis=1).astype(np.float32)
        pixels = ("spectrum", "wavelength")
        return xr.Dataset({"flux": (pixels, flux), "variance": (pixels, flux)})


@pytest.mark.parametrize("batch_size", [10, 256, 3000])
def test_what_is_held_does_not_grow_with_the_training_set(batch_size):
    split = Watched()
    source = Endless(split, batch_size, ALONE)
    used = 0
    for batch in source.epoch(0):
        used += len(batch.flux)
        begun = -(-used // split.calls[0])  # calls whose batches have been used
        assert len(split.calls) <= begun + _CALLS_AHEAD
        if used > 20 * split.calls[0]:
            break
    source.close()
    assert set(split.calls) == {max(batch_size, batch_size * round(_ROWS_A_CALL / batch_size))}


def test_a_value_that_cannot_be_used_ends_the_run_with_one_message(stored, tmp_path, monkeypatch):
    good = EndlessSplit.spectra

    def spectra(self, numbers, exposures=None):
        made = good(self, numbers, exposures)
        made["variance"][np.flatnonzero(numbers == 30 * ROWS + 3), 7] = -1.0
        return made

    monkeypatch.setattr(EndlessSplit, "spectra", spectra)
    with pytest.raises(
        InputError, match="^row 2103 of the endless training set has a flux that is"
    ):
        train_here(toy_config(tmp_path, mode="endless", epochs=40), stored, tmp_path / "run")
    assert 0 < len(losses(tmp_path / "run")) <= 30  # those before it were trained on
    assert not is_thread_left()


def test_a_failure_of_the_simulator_is_raised_in_the_loop(stored, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("the terms are gone")

    monkeypatch.setattr(Endless, "_batches_of", fail)
    with pytest.raises(OSError, match="the terms are gone"):
        train_here(toy_config(tmp_path, mode="endless"), stored, tmp_path / "run")
    assert not is_thread_left()


def test_a_run_that_broke_off_and_goes_on_equals_an_uninterrupted_one(
    stored, tmp_path, monkeypatch
):
    config = toy_config(tmp_path, mode="endless", epochs=5)
    whole = train_here(config, stored, tmp_path / "whole")
    good = Endless.epoch

    def break_off(self, number):
        if number == 3:
            raise ConnectionError("the machine went down")
        return good(self, number)

    monkeypatch.setattr(Endless, "epoch", break_off)
    with pytest.raises(ConnectionError):
        train_here(config, stored, tmp_path / "broken")
    monkeypatch.undo()
    assert len(losses(tmp_path / "broken")) == 3
    broken = train_here(config, stored, tmp_path / "broken")
    assert losses(broken) == losses(whole)
    one, other = (load_checkpoint(d / runs.CHECKPOINT, CPU)[0]["model"] for d in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_early_end_and_a_full_run_leave_no_thread(stored, tmp_path):
    short = toy_config(tmp_path, mode="endless", epochs=10_000, seconds=2.0)
    train_here(short, stored, tmp_path / "short")
    assert not is_thread_left()
    train_here(toy_config(tmp_path, mode="endless", epochs=2), stored, tmp_path / "full")
    assert not is_thread_left()


def test_the_mode_changes_the_run(stored, tmp_path):
    logs = [
        losses(train_here(toy_config(tmp_path, mode=mode), stored, tmp_path / mode))
        for mode in ("stored", "endless")
    ]
    assert logs[0] != logs[1]


def test_stored_and_virtual_training_are_one_run(stored, tmp_path):
    logs = [
        losses(train_here(toy_config(tmp_path, mode=mode), stored, tmp_path / mode))
        for mode in ("stored", "virtual")
    ]
    assert logs[0] == logs[1]


def test_a_stored_dataset_serves_an_endless_run_of_its_own(stored, tmp_path):
    config = toy_config(tmp_path, mode="endless", epochs=1)
    directory = train_here(config, stored, tmp_path / "endless")
    assert runs.read_config(directory).dataset.mode == "endless"
    other = toy_config(tmp_path, epochs=1)
    identity = dataset_identity(Location.of(stored))
    assert runs.run_directory(config, identity) != runs.run_directory(other, identity)
    with pytest.raises(InputError, match="give another directory"):
        launch.train(other, stored, str(directory))


class Locked(MemoryFileSystem):
    """A file system in memory that opens to those who name the right door."""

    protocol = "locked"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    def __init__(self, *arguments, door=None, **options):
        if door != "right":
            raise PermissionError("no such door")
        super().__init__(*arguments, **options)

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + str(path).removeprefix("locked://").strip("/")


@pytest.mark.slow  # of an object store: storage/test_runs_there.py
def test_a_remote_root_is_opened_with_the_options_of_the_rest(tmp_path):
    fsspec.register_implementation("locked", Locked, clobber=True)
    folder = str(build(
        "locked://room", "storage.options={door='right'}", "dataset.mode=endless",
        f"dataset.n_train={ROWS}",
    ))  # fmt: skip
    config = toy_config(tmp_path, mode="endless", options={"door": "right"})
    directory = train_here(config, folder, tmp_path / "run")
    assert runs.read_manifest(directory).outcome.samples == 3 * ROWS
    assert sum(part["count"] for part in evaluate(directory)["bins"]) == 5  # options in its config
    assert page_without_figures(directory).is_file()
    with pytest.raises(PermissionError):
        open_source(config, Location.of(folder, {"door": "wrong"}), ALONE)


def test_a_store_of_spectra_alone_cannot_be_endless(tmp_path):
    url = write_toy(tmp_path, train=20, validation=8)
    with pytest.raises(InputError, match="store of spectra alone.*set dataset.mode = 'stored'"):
        launch.train(toy_config(tmp_path, mode="endless"), url)
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_this_version_makes_otherwise_cannot_be_endless(stored, tmp_path):
    folder = str(tmp_path / "data")
    manifest = published_dataset(stored)[1].model_copy(update={"fingerprint": "0" * 16})
    write_record(manifest_in(Location.of(folder)), manifest)
    with pytest.raises(InputError, match="fingerprint 0000000000000000.*cannot be made again"):
        launch.train(toy_config(tmp_path, mode="endless"), folder)
    assert not (tmp_path / "runs").exists()
