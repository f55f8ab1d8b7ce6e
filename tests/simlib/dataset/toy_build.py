"""A dataset on the toy grid, built in a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from simlib.config import SimulationConfig, load_config
from simlib.dataset.build import build_dataset
from simlib.dataset.publish import published
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location

OVERRIDES = ["dataset.n_train=300", "dataset.n_validation=5", "stellar.grid=toy",
             "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]", "stellar.feh=[-1, 0]",
             "stellar.alpha=[0, 0.25]"]  # fmt: skip


def toy_config(root: Any, *overrides: str) -> SimulationConfig:
    """Return the config of the toy dataset, of 300 and 5 rows where not told otherwise."""
    return load_config("tiny", [f"storage.root='{root}'", *OVERRIDES, *overrides])


@contextmanager
def here(threads: int = 2) -> Iterator[Client]:
    """Yield a client whose worker is this process."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def build(root: Path | str, *overrides: str, repair: bool = False) -> Location:
    """Build the toy dataset and return its folder."""
    config = toy_config(root, *overrides)
    with here() as client:
        folder = build_dataset(config, ensure_terms_grid(config, repair), client, repair=repair)
    assert published(config) == folder
    return folder
