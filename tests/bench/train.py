"""The training loop against a plain one and against Lightning's, and what its time goes into.

The paper's network of 45 million weights on one core, batches of 250: our whole loop with its
augmentation, in a process that is given what `train` gives a rank; a plain PyTorch loop of the same
network, loss and optimizer that is given the same batch without augmentation, over and over; and
Lightning's Trainer, whose module draws the same augmented batches (`pip install '.[bench]'`; left
out where it is not there), both in a process as it comes. Processor seconds between the steps of
each, the best; the first are left out. The ratios are of samples per second.
Last, the rates of matrix products on this machine, and the share of the step that its products
would take at that rate.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from simlib.rng import Purpose, Split
from tests.bench.simulate import best_seconds
from tests.trainlib.toy_dataset import toy_split
from tests.trainlib.training_runs import train_here
from trainlib.config import TrainingConfig
from trainlib.models import build_model, empty_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.launch import rank_environment
from trainlib.training.loss import rmse
from trainlib.training.normals import epoch_order

STORE = "toy.zarr"
COMMAND = "python -m tests.bench train"
PIXELS, BATCH, STEPS = 4096, 250, 12
LEFT_OUT = 2  # of the steps, the first


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stored(Path(folder))
        config = config_of(folder)
        ours = launched(folder)
    flux, sigma = torch.rand(BATCH * STEPS, PIXELS), torch.full((BATCH * STEPS, PIXELS), 0.05)
    with stepped() as plain:
        plain_loop(config, flux[:BATCH], sigma[:BATCH])
    step, bare = seconds(ours), seconds(plain)
    entries = [
        entry("train.samples_per_s_per_core", round(BATCH / step, 1), "samples/s",
              f"the paper's network, {step:.2f} s a step of {BATCH}"),
        entry("train.ratio_plain_loop", round(bare / step, 3), "ratio",
              f"a plain loop without augmentation: {bare:.2f} s a step"),
    ]  # fmt: skip
    if find_spec("lightning"):
        with stepped() as theirs:
            lightning_loop(config, flux, sigma)
        other = seconds(theirs)
        entries.append(
            entry("train.ratio_lightning", round(other / step, 3), "ratio",
                  f"Lightning's Trainer with our augmentation: {other:.2f} s a step")
        )  # fmt: skip
    return [*entries, *rates(config, step)]


def launched(folder: str) -> list[float]:
    """Return the processor time at the end of every step of our loop, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.train", folder]
    told = subprocess.run(command, env=rank_environment(1, 1), stdout=subprocess.PIPE, text=True,
                          timeout=600, check=True)  # fmt: skip
    ends: list[float] = json.loads(told.stdout.splitlines()[-1])
    return ends


def trained(folder: str) -> list[float]:
    """Train with our loop on what is stored in the folder; return the same times."""
    torch.set_num_threads(1)
    with stepped() as ends:
        train_here(config_of(folder), str(Path(folder) / STORE), Path(folder) / "run")
    return ends


def stored(folder: Path, steps: int = STEPS) -> str:
    """Write a store of a few spectra, each many times, for so many steps; return its path."""
    few = toy_split(BATCH // 5, PIXELS, 0)
    for split, rows in (("train", BATCH * steps), ("validation", BATCH)):
        again = few.isel(spectrum=np.arange(rows) % few.sizes["spectrum"])
        again.to_zarr(folder / STORE, group=split, mode="a", consolidated=False)
    return str(folder / STORE)


def config_of(folder: str) -> TrainingConfig:
    """Return recipe A for an epoch."""
    return TrainingConfig.model_validate({
        "storage": {"root": folder},
        "dataset": {"name": "toy"},
        "train": {"recipe": "A", "epochs": 1, "batch_size": BATCH, "threads": 1, "device": "cpu"},
    })  # fmt: skip


@contextmanager
def stepped() -> Iterator[list[float]]:
    """Keep the processor time at the end of every step of an optimizer."""
    ends: list[float] = []
    hook = register_optimizer_step_post_hook(lambda *_: ends.append(time.process_time()))
    try:
        yield ends
    finally:
        hook.remove()


def seconds(ends: list[float]) -> float:
    """Return the processor seconds of the best step."""
    if len(ends) != STEPS:
        raise AssertionError(f"{len(ends)} steps, not {STEPS}")
    return min(b - a for a, b in pairwise(ends[LEFT_OUT - 1 :]))


def network_of(config: TrainingConfig) -> torch.nn.Module:
    torch.manual_seed(config.train.seed)
    return build_model(config.model, empty_statistics(PIXELS, 0))


def plain_loop(config: TrainingConfig, flux: torch.Tensor, sigma: torch.Tensor) -> None:
    """Train on one batch over and over."""
    model, noisy = network_of(config), flux + sigma
    optimizer = torch.optim.SGD(model.parameters(), lr=config.train.lr)
    for _ in range(STEPS):
        loss = (model(noisy, sigma) - flux).square().mean(dim=1).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def lightning_loop(config: TrainingConfig, flux: torch.Tensor, sigma: torch.Tensor) -> None:
    """Train with Lightning's loop, batches augmented as ours are."""
    import lightning

    training = Augmenter(config.augment, PIXELS, config.train.seed, Split.train,
                         Purpose.training_noise)  # fmt: skip

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network_of(config)

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            made = training(*batch, self.current_epoch, BATCH * number)
            squared = self.network.squared_error(made.noisy, made.variance, made.target)
            loss: torch.Tensor = rmse(squared).mean()
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=config.train.lr)

    order = epoch_order(config.train.seed, 0, len(flux))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(flux, sigma), batch_size=BATCH, sampler=order.tolist()
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(Module(), loader)


def rates(config: TrainingConfig, step: float) -> list[dict[str, object]]:
    """Return the rates of products, and the share of them in a step."""
    widths = config.model.widths  # type: ignore[union-attr]
    layers = [a * b for a, b in pairwise([*widths, *widths[-2::-1]])]
    # forward, by the weights, and by the inputs, but for the first layer's
    work = 2.0 * BATCH * (3 * sum(layers) - layers[0])
    single, short = (rate(kind) for kind in (torch.float32, torch.bfloat16))
    return [
        entry("train.sgemm_gflops", round(single / 1e9, 1), "GFLOP/s", "one core, 2048 a side"),
        entry("train.bf16_gflops", round(short / 1e9, 1), "GFLOP/s",
              f"the same in bfloat16: {short / single:.2f} of it"),
        entry("train.gemm_share", round(work / single / step, 3), "share",
              f"{work / 1e9:.0f} GFLOP a step at the rate of sgemm: {work / single:.2f} s"),
    ]  # fmt: skip


def rate(kind: torch.dtype) -> float:
    """Return floating point operations a processor second of a product of matrices."""
    side = 2048 if kind == torch.float32 else 512
    a = torch.rand(side, side).to(kind)
    product: Callable[[], object] = lambda: a @ a  # noqa: E731
    product()
    return 2.0 * side**3 / best_seconds(product, 3)


def entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    """Return one line of bench.json."""
    return {"name": name, "value": value, "unit": unit, "against": against, "command": COMMAND}


if __name__ == "__main__":
    print(json.dumps(trained(sys.argv[1])))
