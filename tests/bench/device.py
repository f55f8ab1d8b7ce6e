"""On a GPU: the augmentation, and trainings of recipes A and C, against plain ways.

The augmentation (recipe A's, 4096 pixels, batches of 250 on the device), as it is, without
compilation, and with random numbers that the processor makes and sends, as it would be without
numbers of the device's own; each after a warm-up, wall time between two waits for the device. Then
samples per second of our loop (`train_rank`: 10,000 spectra in memory on the device, the best of
several epochs) with recipe A's network and optimizer: as it is, compiled, with CUDA graphs, each in
float32 and bfloat16; against a plain PyTorch loop on one batch without augmentation. Of recipe C,
whose spectra are prepared on processors, the network's steps alone; as they are, they are a plain
loop.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file

from simlib.rng import Purpose, Split
from tests.bench.train import network_of, stored
from tests.trainlib.training_runs import prepare
from trainlib.config import TrainingConfig
from trainlib.models import build_model
from trainlib.models.restframe import RestFrameNetwork, RestObjective
from trainlib.models.short import ShortInside
from trainlib.onsky.bundle import ARRAYS
from trainlib.rest.statistics import RestStatistics, statistics_in
from trainlib.training import normals, on_device
from trainlib.training.augment import Augmenter
from trainlib.training.distributed import Ranks
from trainlib.training.log import read_log
from trainlib.training.optimizer import build_optimizer
from trainlib.training.train import compiled, train_rank

COMMAND = "python -m tests.bench device"
PIXELS, BATCH, STEPS = 4096, 250, 100
EPOCHS, STEPS_AN_EPOCH = 6, 40
GPU = torch.device("cuda", 0)
SEED = 1
SHIPPED = Path(__file__).resolve().parents[2] / "trainlib" / "onsky" / "shipped"


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    if not torch.cuda.is_available():
        print("no GPU is visible: the figures of device are left out")
        return []
    return [*augmentation(), *trainings(), *steps_of_recipe_c()]


def seconds(call: Callable[[], object], times: int = STEPS) -> float:
    """Return wall seconds of a call, after a few that warm up."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(times):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / times


def augmentation() -> list[dict[str, object]]:
    config = TrainingConfig.model_validate({"train": {"recipe": "A"}})
    own = Augmenter(config.augment, PIXELS, SEED, Split.train, Purpose.training_noise)
    flux = torch.rand(BATCH, PIXELS, device=GPU)
    sigma = torch.full_like(flux, 0.1)

    def sent() -> torch.Tensor:
        target, scale = own.target(flux, 0, 0)
        made = normals.noise(SEED, Split.train, Purpose.training_noise, 0, 0, BATCH, PIXELS)
        return target + sigma * scale * torch.from_numpy(made).to(GPU)

    quick = seconds(lambda: own(flux, sigma, 0, 0))
    from_host = seconds(sent, 10)
    off = float((own(flux, sigma, 0, 0).noisy - sent()).abs().max())
    kept, on_device.compiled = on_device.compiled, lambda function, _: function  # type: ignore[assignment]
    try:
        plain = seconds(lambda: own(flux, sigma, 0, 0))
    finally:
        on_device.compiled = kept
    return [
        entry("device.augment_spectra_per_s", round(BATCH / quick), "spectra/s",
              f"{1e3 * quick:.3f} ms a batch of {BATCH}"),
        entry("device.augment_ratio_sent", round(from_host / quick, 1), "ratio",
              f"numbers made by one core and sent: {1e3 * from_host:.2f} ms; off by {off:.0e}"),
        entry("device.augment_ratio_eager", round(plain / quick, 1), "ratio",
              f"the same not compiled: {1e3 * plain:.2f} ms"),
    ]  # fmt: skip


WAYS: dict[str, dict[str, Any]] = {
    "A": {},
    "A, kernels": {"compile": "kernels"},
    "A, graphs": {"compile": "graphs"},
    "A, bfloat16": {"precision": "bfloat16"},
    "A, bfloat16, kernels": {"precision": "bfloat16", "compile": "kernels"},
    "A, bfloat16, graphs": {"precision": "bfloat16", "compile": "graphs"},
}


def trainings() -> list[dict[str, object]]:
    """Return samples per second of recipe A's network, each way, and what a plain loop reaches."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = stored(Path(folder), STEPS_AN_EPOCH)
        for name, keys in WAYS.items():
            section = {"recipe": "A", "epochs": EPOCHS, "batch_size": BATCH, "schedule": "constant",
                       "validation_spectra": BATCH, **keys}  # fmt: skip
            config = TrainingConfig.model_validate({
                "storage": {"root": folder}, "dataset": {"name": "toy"}, "train": section,
            })  # fmt: skip
            directory = Path(folder) / name.replace(", ", "-")
            prepare(config, store, directory)
            train_rank(directory, config, Ranks(0, 1, GPU))
            log = read_log(directory)
            ours = max(one["samples_per_s"] for one in log[2:])
            plain = BATCH / plain_step(config)
            found.append(
                entry(f"device.samples_per_s ({name})", round(ours), "samples/s",
                      f"a plain loop without augmentation: {plain:.0f}; {ours / plain:.2f} of it")
            )  # fmt: skip
    return found


def plain_step(config: TrainingConfig) -> float:
    """Return the seconds of a step of the network on one batch, over and over."""
    model = network_of(config).to(GPU)
    if isinstance(model, ShortInside):
        model.is_short = config.train.precision == "bfloat16"
    flux, sigma = torch.rand(BATCH, PIXELS, device=GPU), torch.full((BATCH, PIXELS), 0.05).to(GPU)
    noisy = flux + sigma
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> None:
        loss = (model(noisy, sigma) - flux).square().mean(dim=1).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return seconds(step)


def steps_of_recipe_c() -> list[dict[str, object]]:
    """Return samples per second of recipe C's network alone, of its own sizes, each way."""
    config = TrainingConfig.model_validate({"train": {"recipe": "C"}})
    statistics = statistics_in(load_file(SHIPPED / ARRAYS))
    rank, rows = len(statistics.eigenvalues), config.train.batch_size
    inputs = tuple(part.to(GPU) for part in (
        torch.randn(rows, rank), torch.full((rows,), 0.05), torch.zeros(rows),
        torch.randn(rows, rank), torch.randn(rows, 4),
    ))  # fmt: skip
    found = []
    for how in ("none", "kernels", "graphs"):
        each = seconds(step_of_recipe_c(config, statistics, how, inputs))
        found.append(
            entry(f"device.samples_per_s (C, {how})", round(rows / each), "samples/s",
                  f"{1e3 * each:.2f} ms a step of {rows}")
        )  # fmt: skip
    return found


def step_of_recipe_c(
    config: TrainingConfig, statistics: RestStatistics, how: str, inputs: tuple[torch.Tensor, ...]
) -> Callable[[], None]:
    """Return a step of recipe C's network, compiled in one of the ways."""
    torch.manual_seed(SEED)
    model = build_model(config.model, statistics).to(GPU)
    if not isinstance(model, RestFrameNetwork):
        raise TypeError("recipe C trains a network in the rest frame")
    model.is_short = True
    stepped = compiled(RestObjective(model), how, GPU)
    optimizer = build_optimizer(config.train, model)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (stepped(*inputs).sum() / len(inputs[0])).backward()
        optimizer.step()

    return step


def entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    """Return one line of bench.json."""
    card = torch.cuda.get_device_name(GPU)
    return {"name": name, "value": value, "unit": unit, "against": f"{against} ({card})",
            "command": COMMAND}  # fmt: skip
