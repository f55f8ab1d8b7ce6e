"""What a config would take before it is run: the dataset, the training, and a much larger dataset.

All from what 256 spectra and some steps of training take here; beside what a finished build took.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.cluster import worker_count
from flows.config import Config
from simlib.artifact import read_record
from simlib.dataset.estimate import Estimate, actual_of, cost_of, estimate
from simlib.dataset.manifest import Manifest
from simlib.dataset.measure import Measured, measure
from simlib.dataset.places import manifest_in, plan_in
from simlib.dataset.plan import Plan, cut_of
from simlib.dataset.prices import Prices, read_prices
from simlib.dataset.publish import folder_of
from simlib.dataset.scheduler_load import scheduler_load
from simlib.dataset.store import readable
from simlib.errors import InputError
from trainlib.config import HourglassModel

LARGE_ROWS, LARGE_WORKERS = 100_000_000, 1000


def plan_of(
    config: Config,
    workers: int | None = None,
    prices: Path | None = None,
    simulate: bool = False,
    rows: int | None = None,
    train: bool = True,
) -> dict[str, Any]:
    """Return what the config takes with so many workers, one a core; by default the build's.

    prices: a file of them. simulate: also what `rows` spectra take, by default 1e8 on 1,000
    workers, and what a scheduler takes for as many tasks as there may be. train: also what some
    steps of training take here, where that can be told without the dataset. `actual` is that of the
    finished dataset, None where there is none; the cut is that of a store that was begun.
    Raises InputError for a file that is no table of prices, and for `rows` without `simulate`.
    """
    if rows is not None and not simulate:
        raise InputError("--rows belongs to --simulate; dataset.n_train says what is built")
    table = read_prices(prices)
    folder = folder_of(config)
    manifest = read_record(manifest_in(folder), Manifest)
    is_there = manifest is not None and manifest.blocks is not None
    standing = manifest.plan if manifest else readable(plan_in(folder), Plan)
    cut = (standing.rows, standing.block) if standing else cut_of(config.dataset)
    of_one = measure(config)
    planned = estimate(*cut, workers or worker_count(config.cluster), of_one)
    return {
        "dataset": str(folder),
        "mode": config.dataset.mode,
        "splits": cut[0],
        "measured": asdict(of_one),
        "plan": _told(planned, table),
        "training": _training(config, cut[0], of_one.pixels if train else None),
        "actual": asdict(actual_of(folder, manifest)) if manifest and is_there else None,
        "scale": _scale(config, of_one, workers, rows, table) if simulate else None,
    }


def _told(planned: Estimate, prices: Prices) -> dict[str, Any]:
    cost = cost_of(planned, prices)
    return asdict(planned) | {
        "core_hours": planned.core_hours,
        "cost": asdict(cost) | {"once": cost.once},
    }


def _training(config: Config, rows: dict[str, int], pixels: int | None) -> dict[str, Any]:
    """Return what is known before: a budget of time, or the spectra that will have been seen.

    pixels: of a spectrum, where steps are to be timed.
    """
    train = config.train
    cost = None
    if pixels and isinstance(config.model, HourglassModel):
        from trainlib.training.cost import training_cost  # noqa: PLC0415 torch, only to time steps

        cost = training_cost(config, pixels, rows["train"], rows["validation"])
    return {
        "epochs": train.epochs,
        "spectra_at_most": train.epochs * rows["train"],
        "seconds_at_most": train.seconds,
        "cost": asdict(cost) if cost else None,
    }


def _scale(
    config: Config, of_one: Measured, workers: int | None, rows: int | None, prices: Prices
) -> dict[str, Any]:
    many = config.dataset.model_copy(
        update={"n_train": rows or LARGE_ROWS, "n_validation": 0, "n_test": 0, "block": "auto"}
    )
    planned = estimate(*cut_of(many), workers or LARGE_WORKERS, of_one)
    load = scheduler_load()
    return _told(planned, prices) | {
        "spectra_per_s": planned.rows / planned.seconds,
        "bytes_per_s": planned.bytes / planned.seconds,
        "puts_per_s": planned.objects / planned.seconds,
        "scheduler": asdict(load),
        "scheduler_seconds": planned.tasks * load.seconds / load.tasks,
    }
