"""A dataset on the toy grid, built in a moment."""

from pathlib import Path

from distributed import Client, LocalCluster

from simlib.config import load_config
from simlib.dataset.build import build_dataset, published
from simlib.etc.grid import ensure_terms_grid

OVERRIDES = ["dataset.n_train=300", "dataset.n_validation=5", "stellar.grid=toy",
             "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]", "stellar.feh=[-1, 0]",
             "stellar.alpha=[0, 0.25]"]  # fmt: skip


def build(root: Path | str, *overrides: str) -> str:
    """Return the folder of the toy dataset, of 300 and 5 rows where not told otherwise."""
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
