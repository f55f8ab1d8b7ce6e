"""Learning rate schedules: numbers in, a number out; a state is a plain value that can be saved."""

import math
from dataclasses import dataclass, replace

from trainlib.config import Train


@dataclass(frozen=True)
class Plateau:
    """State of the halving at a plateau (paper, section 3.5).

    multiplier: of the initial learning rate. best: lowest loss so far. waited: epochs since it
    counted as an improvement. cooling: epochs left in which none is counted.
    """

    multiplier: float = 1.0
    best: float = math.inf
    waited: int = 0
    cooling: int = 0


def after_epoch(state: Plateau, validation_loss: float, config: Train) -> Plateau:
    """Return the state after an epoch's validation loss.

    The rule of PyTorch's scheduler: an improvement is a loss below best x (1 - threshold); after
    more than `patience` epochs without one the rate is multiplied by `factor`.
    """
    improved = validation_loss < state.best * (1.0 - float(config.threshold or 0.0))
    best = validation_loss if improved else state.best
    waited = 0 if improved else state.waited + 1
    cooling = state.cooling
    if cooling > 0:
        cooling, waited = cooling - 1, 0
    if waited <= int(config.patience or 1):
        return replace(state, best=best, waited=waited, cooling=cooling)
    multiplier = state.multiplier * float(config.factor or 1.0)
    return Plateau(multiplier, best, waited=0, cooling=int(config.cooldown or 0))


def learning_rate(config: Train, progress: float, plateau: Plateau) -> float:
    """Return the rate at a share of the run (0 … 1) done.

    cosine: a linear warm-up over the share `warmup`, then half a cosine down to lr x `final`.
    """
    if config.schedule == "plateau":
        return config.lr * plateau.multiplier
    if config.schedule == "constant":
        return config.lr
    warmup, final = float(config.warmup or 0.0), float(config.final or 0.0)
    if progress < warmup:
        return config.lr * max(progress / warmup, 1e-3)
    along = min((progress - warmup) / max(1.0 - warmup, 1e-9), 1.0)
    return config.lr * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * along)))
