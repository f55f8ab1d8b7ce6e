"""Short runs on the toy, shared by the tests of training."""

from pathlib import Path

import torch

from simlib.location import Location
from trainlib.config import TrainingConfig
from trainlib.training.data import dataset_identity, published
from trainlib.training.distributed import Ranks
from trainlib.training.launch import prepare_run
from trainlib.training.log import read_log
from trainlib.training.train import train_rank

SMALL = {"rank": 16, "hidden": 16, "blocks": 1}


def toy_config(
    root: Path,
    model: dict | None = None,
    mode: str = "stored",
    options: dict | None = None,
    **train,
) -> TrainingConfig:
    section = {"epochs": 3, "interval": 1, "batch_size": 50, "threads": 1, "device": "cpu"} | train
    return TrainingConfig.model_validate(
        {
            "storage": {"root": str(root), "options": options or {}},
            "model": SMALL if model is None else model,
            "train": section,
            "dataset": {"name": "toy", "mode": mode},
        }
    )


def train_here(config: TrainingConfig, url: str, directory: Path) -> Path:
    """Train in this process, as the only rank, with one thread as a launched rank has."""
    torch.set_num_threads(1)
    dataset = published(Location.of(url, config.storage.options))
    prepare_run(directory, config, dataset, dataset_identity(dataset))
    train_rank(directory, config, Ranks(0, 1, torch.device("cpu")))
    return directory


def losses(directory: Path) -> list[tuple[float, float]]:
    return [(entry["loss"], entry["validation_loss"]) for entry in read_log(directory)]
