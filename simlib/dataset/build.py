"""Build a dataset: one Dask task a block, resumable, published only when complete.

A task carries a config, locations and a block, never arrays; workers open the stellar grid and the
terms themselves. A block's record is written after the block, so what a kill leaves is done again.
"""

import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client, as_completed

from simlib.config import SimulationConfig
from simlib.dataset.manifest import (
    PHYSICS_VERSION,
    dataset_fingerprint,
    public_config,
)
from simlib.dataset.plan import FORMAT_VERSION, Block, Plan, dataset_folder, make_plan
from simlib.dataset.rows import grid_named, simulate_rows
from simlib.dataset.store import create_store, records_of, write_block
from simlib.fingerprint import fingerprint
from simlib.location import Place
from simlib.parameters import impossible_geometry
from simlib.provenance import provenance
from simlib.stellar.grid import open_grid
from simlib.storage import join, read_json, write_json

log = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]  # blocks done, blocks in all, spectra written now


def build_dataset(
    config: SimulationConfig, terms: Place, client: Client, progress: Progress | None = None
) -> str:
    """Simulate what is missing of the config's dataset, publish it, and return its folder.

    terms: location of the stored grid of terms. Raises InputError for a config that cannot be
    simulated, OSError when the store cannot be written; finished blocks stay for the next run.
    """
    grid = open_grid(config.stellar.grid)
    identity = dataset_fingerprint(config, grid)
    folder = dataset_folder(config.storage.root, config.dataset.name, identity)
    options = config.storage.options
    if not is_made(folder, config):
        plan = begin(config, grid, terms, folder)
        started = time.monotonic()
        if config.dataset.mode == "stored":
            _simulate_blocks(config, terms, folder, plan, client, progress)
        _finish(config, terms, folder, plan, time.monotonic() - started)
    latest = join(dataset_folder(config.storage.root, config.dataset.name), "latest.json")
    if read_json(latest, options) != {"fingerprint": identity}:
        write_json(latest, {"fingerprint": identity}, options)
    return folder


def begin(config: SimulationConfig, grid: xr.Dataset, terms: Place, folder: str) -> Plan:
    """Return the store's plan, making an empty store where there is none.

    One row is simulated first: it makes the shared set-up, and shows a config's mistakes before
    anything is written.
    """
    example = simulate_rows(config, grid, terms, Block("train", 0, 1))
    options, place = config.storage.options, join(folder, "parts", "plan.json")
    kept = read_json(place, options)
    plan = Plan.from_dict(kept) if kept else make_plan(config.dataset, config.storage.codec)
    if config.dataset.mode == "stored":
        create_store(folder, example, plan, config.storage)
    if not kept:
        write_json(place, plan.as_dict(), options)
    return plan


def missing_blocks(folder: str, plan: Plan, config: SimulationConfig) -> list[Block]:
    """Return the blocks that have no record yet."""
    blocks = list(plan.blocks())
    done = records_of(folder, blocks, config.storage.options)
    return [block for block in blocks if block.name not in done]


def _simulate_blocks(
    config: SimulationConfig,
    terms: Place,
    folder: str,
    plan: Plan,
    client: Client,
    progress: Progress | None,
) -> None:
    total = len(list(plan.blocks()))
    missing = missing_blocks(folder, plan, config)
    log.info("dataset %s  %d of %d blocks to do", folder, len(missing), total)
    futures = [
        client.submit(simulate_block, config, terms, folder, block, pure=False) for block in missing
    ]
    try:
        finished = as_completed(futures, with_results=True, raise_errors=True)
        for number, (_, record) in enumerate(finished, start=total - len(missing) + 1):
            if progress:
                progress(number, total, record["stop"] - record["start"])
    except BaseException:
        client.cancel(futures)
        raise


def simulate_block(
    config: SimulationConfig, terms: Place, folder: str, block: Block
) -> dict[str, Any]:
    """Simulate one block, write it, and return its record (this is what a worker runs)."""
    started = time.monotonic()
    spectra = simulate_rows(config, grid_named(config.stellar.grid), terms, block)
    computed = time.monotonic()
    record = {
        "split": block.split,
        "start": block.start,
        "stop": block.stop,
        "checksum": write_block(folder, block, spectra, config.storage),
        "impossible_geometries": int(impossible_geometry(spectra).sum()),
        "pixels_above_one": int(np.count_nonzero(spectra["flux"].values > 1.0)),
        "seconds_computing": round(computed - started, 3),
        "seconds_writing": round(time.monotonic() - computed, 3),
        "host": socket.gethostname(),
    }
    write_json(join(folder, "parts", f"{block.name}.json"), record, config.storage.options)
    return record


def _finish(
    config: SimulationConfig, terms: Place, folder: str, plan: Plan, seconds: float
) -> None:
    """Write the manifest, which publishes the dataset, once every block has its record."""
    manifest = {
        "format_version": FORMAT_VERSION,
        "mode": config.dataset.mode,
        "physics_version": PHYSICS_VERSION,
        "fingerprint": folder.rsplit("/", 1)[-1],
        "config": public_config(config),
        "stellar_grid": grid_provenance(config),
        "terms": str(terms),
        "plan": plan.as_dict(),
        "rows": sum(plan.rows.values()),
        "seconds": round(seconds, 3),
        **provenance(),
    }
    if config.dataset.mode == "stored":
        manifest |= _summary(folder, plan, config)
    write_json(join(folder, "manifest.json"), manifest, config.storage.options)


def _summary(folder: str, plan: Plan, config: SimulationConfig) -> dict[str, Any]:
    """Return what the records of all blocks say together."""
    blocks = list(plan.blocks())
    records = records_of(folder, blocks, config.storage.options)
    absent = [block.name for block in blocks if block.name not in records]
    if absent:
        raise RuntimeError(f"{folder}: no record of {', '.join(absent[:5])} after the last block")
    impossible = sum(record["impossible_geometries"] for record in records.values())
    return {
        "checksum": fingerprint([records[block.name]["checksum"] for block in blocks]),
        "fraction_impossible_geometries": impossible / sum(plan.rows.values()),
        "pixels_above_one": sum(record["pixels_above_one"] for record in records.values()),
    }


def is_made(folder: str, config: SimulationConfig) -> bool:
    """Return whether the dataset is complete; a stored one serves every mode."""
    manifest = read_json(join(folder, "manifest.json"), config.storage.options)
    if manifest is None:
        return False
    return config.dataset.mode != "stored" or manifest.get("mode", "stored") == "stored"


def grid_provenance(config: SimulationConfig) -> dict[str, Any]:
    """Return what a stellar grid says of itself, as plain text and numbers."""
    attrs = open_grid(config.stellar.grid).attrs
    return {key: value for key, value in attrs.items() if isinstance(value, (str, int, float))}


def published(config: SimulationConfig) -> str | None:
    """Return the folder of the config's dataset when it is complete and the latest, else None."""
    identity = dataset_fingerprint(config, grid_named(config.stellar.grid))
    folder = dataset_folder(config.storage.root, config.dataset.name, identity)
    options = config.storage.options
    latest = join(dataset_folder(config.storage.root, config.dataset.name), "latest.json")
    complete = is_made(folder, config)
    is_latest = read_json(latest, options) == {"fingerprint": identity}
    return folder if complete and is_latest else None
