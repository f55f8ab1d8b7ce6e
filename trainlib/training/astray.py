"""What a network was given where its loss was first not finite, kept for whoever looks into it."""

import inspect
from pathlib import Path

import numpy as np
from torch import nn

from simlib.artifact import replacing
from trainlib.training.distributed import Ranks
from trainlib.training.examples import Examples

NAME = "not-finite-{}.npz"  # of a rank


def keep_astray(
    directory: Path,
    examples: Examples,
    objective: nn.Module,
    ranks: Ranks,
    step: int,
    steps_an_epoch: int,
) -> tuple[Path, str]:
    """Write this rank's part of the batch of a step; return where, and which batch it is.

    The batch is made again: it follows from epoch and place alone. Its arrays have the names that
    the objective gives them.
    """
    epoch, place = divmod(step - 1, steps_an_epoch)
    names = inspect.signature(objective.forward).parameters
    path = directory / NAME.format(ranks.rank)
    for number, (inputs, _) in enumerate(examples.epoch(epoch)):
        if number == place:
            arrays = {name: part.cpu().numpy() for name, part in zip(names, inputs, strict=True)}
            with replacing(path) as file:
                np.savez(file, allow_pickle=False, step=np.asarray(step), **arrays)
            break
    return path, f"step {step}, batch {place + 1} of epoch {epoch + 1}"
