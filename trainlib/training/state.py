"""The state of a run between two intervals: what changes while it trains, and its way to disk."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from simlib.errors import InputError
from trainlib import runs
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint


@dataclass
class State:
    """Counters of a run. epoch: whole ones done. seconds, cpu_seconds: spent before this start."""

    epoch: int = 0
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    is_finished: bool = False


def save_state(
    directory: Path,
    state: State,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    plateau: ReduceLROnPlateau | None,
    fingerprint: str,
) -> None:
    """Write the checkpoint. Random numbers need no state: they follow from seed, epoch and row."""
    save_checkpoint(
        directory / runs.CHECKPOINT,
        {
            "fingerprint": fingerprint,
            "config": (directory / "config.toml").read_text(encoding="utf-8"),
            "state": dataclasses.asdict(state),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "plateau": None if plateau is None else plateau.state_dict(),
        },
    )


def load_state(directory: Path, fingerprint: str, device: torch.device) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, None where there is none.

    Raises InputError where it belongs to a run of another fingerprint.
    """
    path = directory / runs.CHECKPOINT
    if not path.is_file():
        return None
    saved = load_checkpoint(path, device)
    if saved["fingerprint"] != fingerprint:
        raise InputError(
            f"{path} belongs to run {saved['fingerprint']}, this one is {fingerprint}; "
            "choose another run directory or remove it"
        )
    return saved


def state_from(saved: dict[str, Any]) -> State:
    """Return the counters of a checkpoint."""
    return State(**saved["state"])


def append_log(directory: Path, interval: dict[str, Any]) -> None:
    """Add one object to `log.jsonl`."""
    with (directory / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(interval) + "\n")


def cut_log(directory: Path, step: int) -> None:
    """Leave out of `log.jsonl` what came after a step: a resumed run will write it again."""
    kept = [json.dumps(line) + "\n" for line in runs.read_log(directory) if line["step"] <= step]
    runs.write_text(directory / "log.jsonl", "".join(kept))
