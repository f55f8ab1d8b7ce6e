"""A build whose cluster fails in the middle ends in the same bytes as one undisturbed."""

import multiprocessing
import os
import signal
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from simlib.config import SimulationConfig
from simlib.dataset.build import build_dataset
from simlib.dataset.publish import published
from simlib.dataset.watch import Patience
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.simlib.dataset.fan_out_work import serve
from tests.simlib.dataset.toy_build import build, toy_config

CUT = ("dataset.block=32", "dataset.chunk=32")  # ten blocks of train, one of validation


def contents(folder: Location) -> dict[str, bytes]:
    arrays = folder / "spectra.zarr"
    return arrays.read_files(arrays.sizes())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(build(tmp_path_factory.mktemp("whole"), *CUT))


@pytest.mark.slow
def test_a_worker_that_stops_in_the_middle_costs_nothing_but_time(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    config = toy_config(tmp_path, *CUT)
    stopped: list[int] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def stop_one(done: int, total: int, rows: int) -> None:
            if not stopped:
                stopped.append(next(iter(client.run(os.getpid).values())))
                os.kill(stopped[0], signal.SIGSTOP)

        patience = Patience(factor=2.0, floor_s=3.0, first_s=60.0)
        terms = ensure_terms_grid(config)
        folder = build_dataset(config, terms, client, stop_one, patience=patience)
    assert stopped
    assert published(config) == folder
    assert contents(folder) == undisturbed


def build_until_lost(config: SimulationConfig, terms: Location) -> list[int]:
    """Build on a cluster that is killed after two blocks; return the blocks told."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    assert ours.poll(60)
    told: list[int] = []

    def kill(done: int, total: int, rows: int) -> None:
        told.append(done)
        if done >= 2 and process.is_alive():
            process.kill()
            process.join(10)

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "500ms"}),
        Client(ours.recv(), timeout="10s") as client,
        pytest.raises(InputError, match="scheduler was lost.*run the same command: it goes on"),
    ):
        build_dataset(config, terms, client, kill)
    return told


@pytest.mark.slow
def test_after_a_lost_scheduler_the_same_command_goes_on(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    config = toy_config(tmp_path, *CUT)
    done = build_until_lost(config, ensure_terms_grid(config))
    assert 2 <= len(done) < 11
    assert published(config) is None
    folder = build(tmp_path, *CUT)
    assert contents(folder) == undisturbed
