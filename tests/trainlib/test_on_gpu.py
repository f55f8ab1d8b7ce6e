"""Trainings on a GPU: the processor's, and no step waits for the device. Skipped without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from simlib.rng import Purpose, Split
from tests.trainlib.rest import toy_frame
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import SMALL, losses, prepare, toy_config
from trainlib.config import TrainingConfig
from trainlib.models import build_model
from trainlib.models.restframe import RestObjective
from trainlib.training.augment import Augmenter
from trainlib.training.batches import Stored
from trainlib.training.data import Spectra
from trainlib.training.distributed import Ranks
from trainlib.training.train import compiled, train_rank

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible"),
]
GPU = torch.device("cuda", 0)
HOURGLASS = {"kind": "hourglass", "widths": [128, 24, 6], "skip": "none"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_toy(tmp_path_factory.mktemp("toy"), train=48, validation=24)


def trained(
    folder: Path, toy: str, name: str, ranks: Ranks, model: dict[str, Any], **train: Any
) -> np.ndarray:
    """Return the losses of a training, (epochs, 2)."""
    section = {"epochs": 5, "batch_size": 20, "lr": 1e-3, "interval": 1, **train}
    config = toy_config(folder, model, **section)
    prepare(config, toy, folder / name)
    train_rank(folder / name, config, ranks)
    return np.array(losses(folder / name))


@pytest.mark.parametrize("how", ["none", "kernels", "graphs"])
def test_a_training_there_is_that_of_the_processor(how: str, toy: str, tmp_path: Path) -> None:
    here = trained(tmp_path, toy, "here", Ranks(0, 1, torch.device("cpu")), HOURGLASS)
    there = trained(tmp_path, toy, "there", Ranks(0, 1, GPU), HOURGLASS, compile=how)
    np.testing.assert_allclose(there, here, rtol=2e-4)
    assert here[-1, 0] < here[0, 0]


def test_short_arithmetic_trains_as_well(toy: str, tmp_path: Path) -> None:
    whole, short = (
        trained(tmp_path, toy, kind, Ranks(0, 1, GPU), HOURGLASS, precision=kind)
        for kind in ("float32", "bfloat16")
    )
    assert not np.array_equal(whole, short)
    assert np.allclose(short, whole, rtol=0.03)


@pytest.fixture
def alone_in_a_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranks]:
    """Be one of two, as far as the program knows: NCCL gives a GPU to one process only.

    All that ranks tell each other goes through it, and each of its sums is of this one.
    """
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    monkeypatch.setattr(Ranks, "part", lambda _, rows: slice(0, rows))
    monkeypatch.setattr(Ranks, "part_here", lambda _, rows: slice(0, rows))
    yield Ranks(0, 2, GPU)
    dist.destroy_process_group()


def test_ranks_agree_through_nccl(alone_in_a_group: Ranks, toy: str, tmp_path: Path) -> None:
    sgd = {"optimizer": "sgd", "schedule": "constant"}
    alone = trained(tmp_path, toy, "alone", Ranks(0, 1, GPU), SMALL, **sgd, lr=1e-2)
    # Of two, each gives twice its gradient, since they are averaged.
    grouped = trained(tmp_path, toy, "grouped", alone_in_a_group, SMALL, **sgd, lr=5e-3)
    assert np.allclose(grouped, alone, rtol=1e-5)


@pytest.mark.parametrize("keys", [{}, {"no_data": 0.2, "cr": 5, "bad_sky": 0.05}],
                         ids=["plain", "masks"])  # fmt: skip
def test_no_step_waits_for_the_device(keys: dict[str, Any]) -> None:
    config = TrainingConfig.model_validate({"augment": keys, "model": HOURGLASS})
    clean = Spectra(torch.rand(200, 128, device=GPU), torch.full((200, 128), 0.1, device=GPU))
    source = Stored(clean, 1, 50, Ranks(0, 1, GPU))
    training = Augmenter(config.augment, 128, 1, Split.train, Purpose.training_noise)
    batches = source.epoch(0)

    def step() -> None:
        mine = next(batches)
        made = training(mine.flux, mine.sigma, 0, mine.place)
        assert made.noisy.device == GPU

    step()  # compiles, and brings what stays there
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_recipe_c_steps_there_as_on_the_processor() -> None:
    table = {"kind": "restframe", "rank": 6, "hidden": 16, "blocks": 1, "scan_rank": 5}
    config = TrainingConfig.model_validate({"model": table}).model
    torch.manual_seed(0)
    inputs = (torch.randn(32, 6), torch.full((32,), 0.05), torch.zeros(32), torch.randn(32, 6),
              torch.randn(32, 4))  # fmt: skip
    found = []
    for device in (torch.device("cpu"), GPU):
        torch.manual_seed(1)
        model = build_model(config, toy_frame.statistics(6)).to(device)
        objective = compiled(RestObjective(model), "none", device)  # type: ignore[arg-type]
        errors = objective(*(part.to(device) for part in inputs))
        errors.sum().backward()
        gradient = next(model.parameters()).grad
        assert gradient is not None
        found.append((errors.detach().cpu(), gradient.cpu()))
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, rtol=1e-4, atol=1e-5)
