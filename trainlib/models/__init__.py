"""The networks. Each takes (flux_noisy, variance) and returns flux_denoised, all (rows, pixels).

A further kind needs a name in `config.Model`, a line here, `bottleneck` and `squared_error`; the
training loop knows nothing else of a network.
"""

from typing import Protocol

from torch import Tensor, nn

from trainlib.config import Model, ProjectionModel
from trainlib.models.hourglass import Hourglass
from trainlib.models.projection import Projection
from trainlib.models.statistics import Statistics, empty_statistics, training_statistics

__all__ = [
    "Denoiser",
    "Statistics",
    "basis_rank",
    "build_model",
    "empty_statistics",
    "training_statistics",
]


class Denoiser(Protocol):
    """What the training and the evaluation use of a network."""

    @property
    def bottleneck(self) -> int:
        """Numbers that pass through the narrowest place."""

    def squared_error(self, flux_noisy: Tensor, variance: Tensor, target: Tensor) -> Tensor:
        """Return (rows,) mean squared error over pixels."""

    def __call__(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised."""


def basis_rank(config: Model) -> int:
    """Return the components that the network's statistics must hold."""
    if isinstance(config, ProjectionModel):
        return config.rank
    return config.widths[-1] if config.skip == "wiener" else 0


def build_model(config: Model, statistics: Statistics) -> nn.Module:
    """Return the untrained network that the section describes; a `Denoiser`."""
    if isinstance(config, ProjectionModel):
        return Projection(
            statistics,
            hidden=config.hidden,
            blocks=config.blocks,
            activation=config.activation,
            with_skip=config.skip == "wiener",
            knows_noise=config.noise_level,
        )
    return Hourglass(
        config.widths,
        statistics,
        activation=config.activation,
        is_standardized=config.input == "standardized",
        is_linear=config.output == "linear",
        with_skip=config.skip == "wiener",
        knows_noise=config.noise_level,
    )
