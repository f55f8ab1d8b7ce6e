"""The dataset of a config: its two stages, and the flow of these alone.

Apart from the others, so that workers are there before anything of torch is loaded.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed import Client

from flows.artifacts import show_dashboard, shown_progress
from flows.cluster import dask_client
from flows.cluster_report import kept_report
from flows.cluster_view import require_seen
from flows.config import Config, given_config, load_config
from flows.inputs import inputs_of
from flows.orchestration import flow, stage
from flows.terminal.progress import item_progress
from simlib.dataset import build as making
from simlib.dataset.publish import published
from simlib.dataset.watch import Patience
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location

log = logging.getLogger(__name__)

HOUR_S = 3600.0  # limits end a stage that hangs in spite of its own ways to find that


def meet_workers(config: Config) -> None:
    """Raise InputError, before anything is done, where a running cluster cannot do the work."""
    if config.cluster.address is not None and published(config) is None:
        with _workers(config):
            return


@contextmanager
def _workers(config: Config) -> Iterator[Client]:
    """Yield a client whose workers see what the config names."""
    with dask_client(config.cluster) as client:
        if config.cluster.address is not None:
            require_seen(client, inputs_of(config), {"storage.root": config.root})
        elif config.cluster.is_elsewhere:
            writes, wait_s = {"storage.root": config.root}, config.cluster.wait_s
            require_seen(client, inputs_of(config), writes, wait_s)
        yield client


@stage("etc-grid", 6 * HOUR_S)
def etc_grid(config: Config, repair: bool = False) -> Location:
    """Return the location of the calculator's terms on the grid over conditions.

    repair: they are read, and made again where they are damaged.
    """
    location = ensure_terms_grid(config, repair)
    log.info("terms %s", location)
    return location


@stage("build-dataset", 720 * HOUR_S)
def build_dataset(config: Config, terms: Location, repair: bool = False) -> str:
    """Return the folder of the complete dataset, simulated as far as it was not.

    repair: every value of it is read, and what is damaged is made again.
    """
    if not repair and (standing := published(config)) is not None:
        log.info("dataset %s  complete already", standing)
        return str(standing)
    patience = Patience(config.cluster.hang_factor, config.cluster.hang_floor_s)
    with (
        _workers(config) as client,
        item_progress("simulating", "blocks", "spectra") as progress,
        shown_progress(progress, "blocks of the dataset") as show,
        kept_report(client, config.cluster.report) as keep,
    ):
        show_dashboard(client, config.dataset.name)
        folder = making.build_dataset(config, terms, client, show, repair, patience)
        keep(folder)
    return str(folder)


@flow("specdenoise-build")
def building(source: str = "demo", overrides: Sequence[str] = (), repair: bool = False) -> str:
    """Make the dataset of a config, or what of it is missing or damaged; return its folder."""
    config = given_config(source, overrides)
    meet_workers(config)
    return build_dataset(config, etc_grid(config, repair), repair)


def build(source: str, overrides: Sequence[str] = (), repair: bool = False) -> str:
    """Make the dataset of a config; return its folder. Raises InputError for a mistake.

    repair: all that is there is read, and what is damaged is made again.
    """
    load_config(source, overrides)
    return building(source, list(overrides), repair)
