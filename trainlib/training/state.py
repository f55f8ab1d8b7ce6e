"""A run between two intervals: what its checkpoint holds, and the way there and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from simlib.errors import InputError
from simlib.location import Location, Place
from trainlib import runs
from trainlib.config import Model
from trainlib.models import blank_model
from trainlib.runs import State
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Saved:
    """A checkpoint. digest: of its bytes. fingerprint: of its run. The rest is for `restore`."""

    path: Location
    digest: str
    fingerprint: str
    state: State
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    plateau: dict[str, Any] | None


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
            "state": state.model_dump(),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "plateau": None if plateau is None else plateau.state_dict(),
        },
    )


def load_state(directory: Place, fingerprint: str, device: torch.device) -> Saved:
    """Return the checkpoint of a run.

    Raises InputError where there is none, it belongs to a run of another fingerprint, or its
    network holds weights that are not finite.
    """
    path = Location.of(directory) / runs.CHECKPOINT
    parts, digest = load_checkpoint(path, device)
    try:
        saved = Saved(path, digest, **parts | {"state": State.model_validate(parts["state"])})
        bad = [name for name, weights in saved.model.items() if not weights.isfinite().all()]
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InputError(f"{path} is no checkpoint of a run ({error}); remove it") from None
    if saved.fingerprint != fingerprint:
        raise InputError(
            f"{path} belongs to run {saved.fingerprint}, this one is {fingerprint}; "
            "choose another run directory or remove it"
        )
    if bad:
        raise InputError(
            f"the network in {path} is useless: {', '.join(bad[:3])} hold values that are not "
            "finite; remove it and train again with a lower train.lr"
        )
    return saved


def blank_network(saved: Saved, config: Model) -> nn.Module:
    """Return a network of the shapes in a checkpoint; InputError where it holds none of ours."""
    try:
        return blank_model(config, saved.model)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{saved.path} holds no network of ours; remove it and train again"
        ) from None


def restore(
    saved: Saved,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    plateau: ReduceLROnPlateau | None = None,
) -> None:
    """Put a checkpoint into a network and what trains it; InputError where it does not fit."""
    try:
        model.load_state_dict(saved.model)
        if optimizer is not None:
            optimizer.load_state_dict(saved.optimizer)
        if plateau is not None:
            plateau.load_state_dict(saved.plateau or {})
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{saved.path} does not fit the network of the config beside it: "
            f"{str(error).splitlines()[-1].strip()}; remove it and train again"
        ) from None
