"""The stages, each a Prefect task where there is a server: Dask and torchrun are inside.

A stage reads what earlier ones wrote, writes one thing and returns where it is. Each finds out by
fingerprint whether its work is done already.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from flows.cluster import dask_client
from flows.cluster_report import kept_report
from flows.cluster_view import inputs_of, require_seen
from flows.config import Config
from flows.orchestration import stage
from flows.terminal.progress import epoch_progress, item_progress
from simlib.dataset import build
from simlib.dataset.publish import published
from simlib.dataset.watch import Patience
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location, Place
from trainlib.evaluation.evaluate import evaluate as evaluate_run
from trainlib.evaluation.report import write_report
from trainlib.runs import run_directory
from trainlib.training import launch

log = logging.getLogger(__name__)


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


@stage("etc-grid")
def etc_grid(config: Config) -> Location:
    """Return the location of the calculator's terms on the grid over conditions."""
    location = ensure_terms_grid(config)
    log.info("terms %s", location)
    return location


@stage("build-dataset")
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
        kept_report(client, config.cluster.report) as keep,
    ):
        folder = build.build_dataset(config, terms, client, progress, repair, patience)
        keep(folder)
    return str(folder)


@stage("train")
def train(config: Config, dataset: str) -> str:
    """Return the directory of the finished run."""
    directory = str(run_directory(config, dataset.rsplit("/", 1)[-1]))
    with epoch_progress(config.train.seconds) as progress:
        launch.train(config, dataset, directory, progress=progress)
    log.info("run %s", directory)
    return directory


@stage("evaluate")
def evaluate(config: Config, run: str) -> dict[str, Any]:
    """Return the errors of the network and of the baselines by S/N, kept in the run."""
    place = Location.of(run, config.storage.options)
    return evaluate_run(place, section=config.evaluate)


@stage("report")
def report(config: Config, run: str) -> Place:
    """Return the path of the run's report, where it is a URL its location."""
    return write_report([Location.of(run, config.storage.options)])
