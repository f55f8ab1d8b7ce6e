"""Short runs on the toy, shared by the tests of training."""

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from simlib.location import Location
from trainlib.config import TrainingConfig
from trainlib.training.augment import Batch
from trainlib.training.data import dataset_identity, published
from trainlib.training.distributed import Ranks
from trainlib.training.launch import prepare_run
from trainlib.training.log import read_log
from trainlib.training.train import Objective, train_rank

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
            "evaluate": {"trust_spectra": 32, "stranger_spectra": 4},
        }
    )


def prepare(config: TrainingConfig, url: str, directory: Path) -> Path:
    dataset = published(Location.of(url, config.storage.options))
    prepare_run(directory, config, dataset, dataset_identity(dataset))
    return directory


def train_here(config: TrainingConfig, url: str, directory: Path) -> Path:
    """Train in this process, as the only rank, with one thread as a launched rank has."""
    torch.set_num_threads(1)
    prepare(config, url, directory)
    train_rank(directory, config, Ranks(0, 1, torch.device("cpu")))
    return directory


def train_together(*prepared: Path) -> None:
    """Train each run with as many processes as its config asks for."""
    command = [sys.executable, "-m", "tests.trainlib.forked_ranks", *map(str, prepared)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert told.returncode == 0, told.stderr


def losses(directory: Path) -> list[tuple[float, float]]:
    return [(entry["loss"], entry["validation_loss"]) for entry in read_log(directory)]


def told_alike(directory: Path) -> list[dict[str, Any]]:
    """Return the log without what differs from process to process."""
    return [
        {key: value for key, value in entry.items() if key not in ("memory_bytes", "mfu")}
        for entry in read_log(directory)
    ]


def cosine(progress: float, warmup: float, final: float) -> float:
    """Return the share of the rate at a share of the run, as its two parts are usually written."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    along = min((progress - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * (1 + math.cos(math.pi * along)) / 2


class Clock:
    """Stands for the module `time` in the loop: time passes in its steps, and when told to."""

    strftime = staticmethod(time.strftime)

    def __init__(self, step: float = 1.0, now: float = 5000.0) -> None:
        self.step, self.now = step, now

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 3.0 * self.now

    def gmtime(self) -> time.struct_time:
        return time.gmtime(self.now)

    def __enter__(self) -> "Clock":
        self._hook = register_optimizer_step_post_hook(lambda *_: self.passes(self.step))
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def passes(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Seen:
    """What really reached network and optimizer. validated: batches by interval. rates: by step."""

    trained: list[Batch] = field(default_factory=list)
    validated: list[list[Batch]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[Seen]:
    """Keep what a training gives to its network and to its optimizer."""
    seen, was_training = Seen(), True

    def forward(module: Any, given: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        nonlocal was_training
        if not isinstance(module, Objective):
            return
        noisy, variance, target = (tensor.clone() for tensor in given)
        batch = Batch(target=target, noisy=noisy, variance=variance)
        if was_training and not module.training:
            seen.validated.append([])
        (seen.trained if module.training else seen.validated[-1]).append(batch)
        was_training = module.training

    def step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        (rate,) = {group["lr"] for group in optimizer.param_groups}
        seen.rates.append(rate)

    hooks = [register_module_forward_hook(forward), register_optimizer_step_pre_hook(step)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
