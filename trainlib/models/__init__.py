"""The networks. Each takes (flux_noisy, variance) and returns flux_denoised, all (rows, pixels).

A further kind needs a name in `config.Model`, a line here and `bottleneck`; what it learns from is
made in `training.examples`, and the training loop knows nothing else of a network.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from trainlib.config import Model, ProjectionModel, RestFrameModel
from trainlib.models.hourglass import Hourglass
from trainlib.models.projection import Projection
from trainlib.models.restframe import RestFrameNetwork
from trainlib.models.statistics import Statistics, empty_statistics, training_statistics
from trainlib.rest.statistics import RestStatistics, statistics_in

__all__ = [
    "Denoiser",
    "RestStatistics",
    "Statistics",
    "basis_rank",
    "blank_model",
    "build_model",
    "empty_statistics",
    "training_statistics",
]


class Denoiser(Protocol):
    """What the training and the evaluation use of a network."""

    @property
    def bottleneck(self) -> int:
        """Numbers that pass through the narrowest place."""

    def __call__(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised."""


def basis_rank(config: Model) -> int:
    """Return the components that the network's statistics must hold."""
    if isinstance(config, ProjectionModel | RestFrameModel):
        return config.rank
    return config.widths[-1] if config.skip == "wiener" else 0


def build_model(config: Model, statistics: Statistics | RestStatistics) -> nn.Module:
    """Return the untrained network that the section describes; a `Denoiser`.

    statistics: those of the rest frame for a network there.
    """
    if isinstance(config, RestFrameModel):
        if not isinstance(statistics, RestStatistics):
            raise TypeError("a network in the rest frame needs statistics of the rest frame")
        return RestFrameNetwork(
            statistics,
            hidden=config.hidden,
            blocks=config.blocks,
            activation=config.activation,
            steps=config.steps,
            components=config.scan_rank,
        )
    if isinstance(statistics, RestStatistics):
        raise TypeError("statistics of the rest frame serve a network there alone")
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


def blank_model(config: Model, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a network of the shapes that a saved state has, to be filled from it.

    Raises KeyError for a state that is of no network of this kind.
    """
    if isinstance(config, RestFrameModel):
        return build_model(config, statistics_in({name: x.cpu() for name, x in state.items()}))
    return build_model(config, empty_statistics(len(state["noise_shape"]), basis_rank(config)))
