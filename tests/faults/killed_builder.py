"""Builders of a toy dataset in a process group that is killed at the n-th thing done to its files.

Run by `multiprocessing`'s fork server, which imports `ready_builder` once.
"""

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from simlib.dataset.build import build_dataset
from simlib.dataset.manifest import dataset_fingerprint
from simlib.dataset.rows import grid_of
from simlib.etc.grid.build import build_terms_grid
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from tests.simlib.dataset.toy_build import here, toy_config

OVERRIDES = ["dataset.n_train=20", "dataset.n_validation=5", "terms.moon_zenith_nodes=5",
             "terms.moon_target_nodes=5", "terms.moon_phase_nodes=5", "terms.airmass_nodes=3",
             "terms.seeing_nodes=5", "terms.tolerance=1.0"]  # fmt: skip
_CHANGES = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Counter:
    """Counts what is done to files below a folder, and kills the process group at `last`."""

    def __init__(self, folder: str, last: int | None) -> None:
        self.folder, self.last, self.seen = folder, last, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in _CHANGES or (event == "open" and bool(arguments[2] & _WRITING))
        if is_change and str(arguments[0]).startswith(self.folder):
            self.seen += 1
            if self.seen == self.last:
                os.killpg(0, signal.SIGKILL)


def run_builders(
    root: str, terms: str, blocks: tuple[int, ...], last: int | None, held: Connection
) -> None:
    """Build at once with one or two block sizes; the group dies at any builder's event `last`.

    held: until the last of them is gone.
    """
    os.setpgid(0, 0)
    other = os.fork() if len(blocks) == 2 else None
    counter = Counter(f"{root}/datasets", last)
    sys.addaudithook(counter)
    block = blocks[-1 if other == 0 else 0]
    cut = (f"dataset.block={block}", f"dataset.chunk={block // 2}")
    with here(threads=1) as client:
        build_dataset(toy_config(root, *OVERRIDES, *cut), terms, client)
    if other == 0:
        os._exit(0)
    if other is not None and os.waitpid(other, 0)[1] != 0:
        raise RuntimeError("the other builder failed")
    Path(f"{root}/events").write_text(str(counter.seen))


def make_ready() -> None:
    """Load filters, tables and compiled loops, without a thread: threads do not survive a fork."""
    config = toy_config("/nowhere", *OVERRIDES)
    grid = grid_of(config)
    dataset_fingerprint(config, grid)
    row = draw_parameters(config, grid, "train", 0, 1)
    simulate(row, grid, build_terms_grid(config), config)
