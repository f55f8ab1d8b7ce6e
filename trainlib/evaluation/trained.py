"""A trained network, from its run directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.models import basis_rank, build_model, empty_statistics
from trainlib.training.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Trained:
    """A run: its config, manifest and network, which is in evaluation mode on the CPU."""

    directory: Path
    config: TrainingConfig
    manifest: dict[str, Any]
    model: nn.Module


def load_trained(run_directory: str | Path) -> Trained:
    """Return a run's network as the last checkpoint left it; InputError where there is none."""
    directory = Path(run_directory)
    config = runs.read_config(directory)
    saved = load_checkpoint(directory / runs.CHECKPOINT, torch.device("cpu"))
    pixels = _pixels(saved["model"])
    model = build_model(config.model, empty_statistics(pixels, basis_rank(config.model)))
    model.load_state_dict(saved["model"])
    model.eval()
    return Trained(directory, config, runs.read_manifest(directory), model)


def _pixels(model_state: dict[str, torch.Tensor]) -> int:
    return len(model_state["mean"])
