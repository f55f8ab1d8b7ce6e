"""A run between two steps: what its checkpoint holds, and the way there and back."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from simlib.artifact import put_copy
from simlib.errors import InputError
from simlib.location import Location, Place
from trainlib import runs
from trainlib.config import Model
from trainlib.models import blank_model
from trainlib.runs import State
from trainlib.training.checkpoint import (
    DamagedError,
    keep_earlier,
    load_checkpoint,
    save_checkpoint,
)

log = logging.getLogger(__name__)


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
    keep: int,
) -> None:
    """Write the checkpoint, keep the last so many, and the best so far under its own name.

    Random numbers need no state: they follow from seed, epoch and row. A kill may leave the best
    under its own name undone: `take_up` does it.
    """
    is_best = state.validation_loss <= state.best_loss and not state.begun_samples
    state.best_loss = min(state.best_loss, state.validation_loss)
    last = directory / runs.CHECKPOINT
    keep_earlier(last, keep - 1)
    save_checkpoint(
        last,
        {
            "fingerprint": fingerprint,
            "state": state.model_dump(),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "plateau": None if plateau is None else plateau.state_dict(),
        },
    )
    if is_best:
        put_copy(last, directory / runs.BEST)


def take_up(directory: Path, saved: Saved) -> None:
    """Make what is kept agree with the checkpoint that is gone on from.

    Newer ones, which are damaged, go; the best gets its name, which a kill may have come before.
    """
    for place in runs.checkpoints_in(directory):
        if place == saved.path:
            break
        place.remove()
    state = saved.state
    if state.validation_loss == state.best_loss and not state.begun_samples:
        put_copy(saved.path.path, directory / runs.BEST)


def load_newest(directory: Place, fingerprint: str, device: torch.device) -> Saved | None:
    """Return the newest checkpoint of a run that is whole; None where there is none at all.

    Raises InputError where none of them can be used, and what `load_state` does.
    """
    damaged: DamagedError | None = None
    for place in runs.checkpoints_in(directory):
        try:
            saved = load_state(place, fingerprint, device)
        except DamagedError as error:
            damaged = damaged if damaged is not None else error
            continue
        if damaged is not None:
            log.warning("%s; going on from %s, step %d", damaged.found, place, saved.state.step)
        return saved
    if damaged is not None:
        raise damaged
    return None


def load_state(path: Place, fingerprint: str, device: torch.device) -> Saved:
    """Return a checkpoint of a run.

    Raises InputError where there is none, it belongs to a run of another fingerprint, or its
    network holds weights that are not finite.
    """
    path = Location.of(path)
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
