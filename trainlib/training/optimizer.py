"""The two optimisers."""

import torch
from torch import nn

from trainlib.config import Sgd, Train


def build_optimizer(config: Train, model: nn.Module) -> torch.optim.Optimizer:
    """Return plain gradient descent (paper, section 3.5) or AdamW, at the initial rate."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if isinstance(config, Sgd):
        return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(
        parameters,
        lr=config.lr,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Put the rate of the next step into every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
