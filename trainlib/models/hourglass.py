"""The fully connected hourglass of the paper (section 3.1), and variations of its ends.

It knows no masks: in a masked pixel, of infinite variance, the mean of the training set is put into
its input, which is 0 where that is standardised.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainlib.models.noise_level import (
    FEATURES,
    filled,
    level_features,
    noise_level,
    wiener_gain,
)
from trainlib.models.short import ShortInside
from trainlib.models.statistics import Statistics

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


def xavier_uniform(layer: nn.Linear) -> None:
    """Draw weights and bias from U(-sqrt(k), sqrt(k)), k = 6 / (inputs + outputs), as printed.

    The usual initialisation leaves the bias out; the paper states it for both.
    """
    bound = (6.0 / (layer.in_features + layer.out_features)) ** 0.5
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.uniform_(layer.bias, -bound, bound)


class Hourglass(ShortInside):
    """Denoiser of layers `widths` down to the bottleneck and mirrored up again.

    is_standardized: the input is (flux - mean) / (spread x noise shape). is_linear: the output is
    mean + spread x (last layer), instead of its sigmoid. with_skip: a Wiener filter of the
    bottleneck's rank is added. knows_noise: functions of the noise level join the input.
    """

    mean: Tensor
    spread: Tensor
    noise_shape: Tensor
    vectors: Tensor
    eigenvalues: Tensor

    def __init__(
        self,
        widths: tuple[int, ...],
        statistics: Statistics,
        *,
        activation: str = "relu",
        is_standardized: bool = False,
        is_linear: bool = False,
        with_skip: bool = False,
        knows_noise: bool = False,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.is_standardized = is_standardized
        self.is_linear = is_linear
        self.with_skip = with_skip
        self.knows_noise = knows_noise
        sizes = [*widths, *widths[-2::-1]]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            layer = nn.Linear(inputs + FEATURES * (knows_noise and i == 0), outputs)
            xavier_uniform(layer)
            layers += [layer, ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])
        if with_skip:  # start as the filter alone
            nn.init.zeros_(layers[-2].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-2].bias)  # type: ignore[arg-type]
        for name in ("mean", "spread", "noise_shape", "vectors", "eigenvalues"):
            self.register_buffer(name, getattr(statistics, name))

    @property
    def bottleneck(self) -> int:
        """Numbers that pass through the narrowest layer."""
        return self.widths[-1]

    def forward(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised (rows, pixels) of float32 flux_noisy and variance."""
        level = noise_level(variance, self.noise_shape)
        inputs = flux_noisy = filled(flux_noisy, variance, self.mean)
        if self.is_standardized:
            inputs = (flux_noisy - self.mean) / (self.spread * self.noise_shape)
        if self.knows_noise:
            inputs = torch.cat([inputs, level_features(level)], dim=1)
        with self.inside(inputs.device.type):
            hidden = self.layers[:-1](inputs)
        outputs: Tensor = self.layers[-1](hidden.to(inputs.dtype))
        if not self.is_linear:
            return torch.sigmoid(outputs)
        if not self.is_standardized:
            return outputs
        flux: Tensor = self.mean + self.spread * outputs
        if self.with_skip:
            coefficients = ((flux_noisy - self.mean) / self.noise_shape) @ self.vectors.T
            filtered = wiener_gain(self.eigenvalues, level) * coefficients
            flux = flux + self.noise_shape * (filtered @ self.vectors)
        return flux

    def squared_error(self, flux_noisy: Tensor, variance: Tensor, target: Tensor) -> Tensor:
        """Return (rows,) mean squared error over pixels."""
        denoised: Tensor = self(flux_noisy, variance)
        return (denoised - target).square().mean(dim=1)
