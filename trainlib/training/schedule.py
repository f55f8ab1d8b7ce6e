"""The learning rate: torch's scheduler at a plateau, else our own function of the run's progress.

torch's other schedulers count steps, of which a budget in seconds has no known number.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainlib.config import Cosine, Plateau, Train


def plateau_scheduler(config: Train, optimizer: Optimizer) -> ReduceLROnPlateau | None:
    """Return what lowers the rate after epochs without improvement (paper, section 3.5).

    It is told the validation loss of every epoch. None with another schedule.
    """
    if not isinstance(config, Plateau):
        return None
    return ReduceLROnPlateau(
        optimizer,
        factor=config.factor,
        patience=config.patience,
        threshold=config.threshold,
        cooldown=config.cooldown,
    )


def learning_rate(config: Train, progress: float) -> float:
    """Return the rate at a share of the run (0 … 1) done; at a plateau, the one it begins with.

    cosine: a linear warm-up over the share `warmup`, then half a cosine down to lr x `final`.
    """
    if not isinstance(config, Cosine):
        return config.lr
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 1e-3)
    along = min((progress - config.warmup) / max(1.0 - config.warmup, 1e-9), 1.0)
    return config.lr * (
        config.final + (1.0 - config.final) * 0.5 * (1.0 + math.cos(math.pi * along))
    )
