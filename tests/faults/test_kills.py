"""A build that is killed anywhere, by whatever number of builders, ends as the undisturbed one."""

import multiprocessing
import random
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
import xarray as xr

from simlib.dataset.open import open_dataset
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.faults.killed_builder import OVERRIDES, run_builders
from tests.simlib.dataset.toy_build import toy_config

BLOCKS = (8, 4)  # of 20 and 5 rows: the last of each split is a part of one
SEEDS = 12
SEEDS_OF_ALL = 200


class Undisturbed(NamedTuple):
    """What a build comes to that nothing befell. events: what it does to its files."""

    splits: dict[str, xr.Dataset]
    files: dict[int, dict[str, bytes]]
    events: dict[int, int]


class Builders:
    """Starts builders that a server forks: what each would load is loaded once."""

    def __init__(self, terms: str) -> None:
        self.terms, self.context = terms, multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.faults.ready_builder"])

    def start(self, root: Path, blocks: tuple[int, ...], last: int | None = None) -> int:
        """Run them until none of them is left, ended or dead; return the exit code.

        One that waits for the disk outlives its death: the pipe that all hold ends with the last.
        """
        read, held = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=run_builders, args=(str(root), self.terms, blocks, last, held)
        )
        process.start()
        held.close()
        assert read.poll(120), "the builders hang"
        with pytest.raises(EOFError):
            read.recv()
        process.join(60)
        assert process.exitcode is not None
        return process.exitcode


@pytest.fixture(scope="module")
def builders(tmp_path_factory: pytest.TempPathFactory) -> Builders:
    config = toy_config(tmp_path_factory.mktemp("terms"), *OVERRIDES)
    return Builders(str(ensure_terms_grid(config)))


@pytest.fixture(scope="module")
def undisturbed(builders: Builders, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    files, events = {}, {}
    for block in BLOCKS:
        root = tmp_path_factory.mktemp(f"undisturbed-{block}")
        assert builders.start(root, (block,)) == 0
        files[block] = contents(root)
        events[block] = int((root / "events").read_text())
    return Undisturbed(splits(root), files, events)


def splits(root: Path) -> dict[str, xr.Dataset]:
    place = root / "datasets/tiny"
    return {split: open_dataset(place, split).load() for split in ("train", "validation")}


def contents(root: Path) -> dict[str, bytes]:
    """Return all files of the arrays of the one dataset below a root."""
    (folder,) = (root / "datasets/tiny").glob("*/")
    arrays = Location.of(folder / "spectra.zarr")
    return arrays.read_files(arrays.sizes())


def kill_and_go_on(builders: Builders, root: Path, seed: int, whole: Undisturbed) -> None:
    dice = random.Random(seed)
    for _ in range(dice.choice((1, 1, 2))):
        blocks = some_builders(dice)
        last = dice.randint(1, min(whole.events[block] for block in blocks))
        assert builders.start(root, blocks, last) in (0, -signal.SIGKILL)  # less may be to do
    assert builders.start(root, some_builders(dice)) == 0
    is_as(root, whole)


def some_builders(dice: random.Random) -> tuple[int, ...]:
    """Return the block sizes of one builder or of two at once."""
    return tuple(dice.choice(BLOCKS) for _ in range(dice.choice((1, 2))))


def is_as(root: Path, whole: Undisturbed) -> None:
    found = splits(root)
    assert all(found[name].identical(expected) for name, expected in whole.splits.items())
    assert contents(root) in whole.files.values()  # as one of the plans cuts it
    assert not list(root.rglob("*.writing"))


@pytest.mark.slow  # some of the seeds below have two builders
def test_builders_at_once_make_one_store(
    builders: Builders, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    assert builders.start(tmp_path, BLOCKS) == 0
    is_as(tmp_path, undisturbed)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_killed_build_ends_as_the_undisturbed_one(
    seed: int, builders: Builders, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    kill_and_go_on(builders, tmp_path, seed, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS, SEEDS + SEEDS_OF_ALL))
def test_a_build_killed_anywhere_ends_as_the_undisturbed_one(
    seed: int, builders: Builders, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    kill_and_go_on(builders, tmp_path, seed, undisturbed)


def test_the_points_of_death_cover_the_whole_build(undisturbed: Undisturbed) -> None:
    """Plan, template, blocks, records and manifest are all written by counted events."""
    for block, events in undisturbed.events.items():
        blocks = -(-20 // block) + -(-5 // block)
        assert events > 18 * blocks
