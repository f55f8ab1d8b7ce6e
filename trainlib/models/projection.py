"""A residual network between the coefficients of a fixed principal basis.

Encoder and decoder are the basis of the training set, whitened by the noise shape; what is learnt
acts on `rank` coefficients. Beside it stands a Wiener filter: an untrained network filters
already. A masked pixel, of infinite variance, is taken for the mean of the training set: it adds
nothing to a coefficient.
"""

import torch
from torch import Tensor, nn

from trainlib.models.hourglass import ACTIVATIONS
from trainlib.models.noise_level import (
    FEATURES,
    filled,
    level_features,
    noise_level,
    wiener_gain,
)
from trainlib.models.short import ShortInside
from trainlib.models.statistics import Statistics, orthonormal_rows


class Block(nn.Module):
    """x + W3 (f(W1 norm(x)) * W2 norm(x)), the correction zero at the start.

    The product (a gated unit: Shazeer 2020) lets features be steered by others, e.g. by the
    Doppler shift; it learnt faster here than a plain layer of the same cost.
    """

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        inner = 3 * width // 2
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * inner))
        self.activation = ACTIVATIONS[activation]()
        self.outer = nn.Linear(inner, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x corrected; (rows, width)."""
        gate, value = self.inner(x).chunk(2, dim=1)
        return x + self.outer(self.activation(gate) * value)  # type: ignore[no-any-return]


class Projection(ShortInside):
    """Denoiser of `blocks` residual blocks of width `hidden` between `rank` coefficients.

    with_skip: the network corrects a Wiener filter instead of making the coefficients alone.
    knows_noise: functions of the noise level join the input.
    """

    mean: Tensor
    noise_shape: Tensor
    vectors: Tensor
    eigenvalues: Tensor
    frame: Tensor
    to_frame: Tensor

    def __init__(
        self,
        statistics: Statistics,
        *,
        hidden: int,
        blocks: int,
        activation: str = "gelu",
        with_skip: bool = True,
        knows_noise: bool = True,
    ) -> None:
        super().__init__()
        rank = len(statistics.vectors)
        self.with_skip = with_skip
        self.knows_noise = knows_noise
        for name in ("mean", "noise_shape", "vectors", "eigenvalues"):
            self.register_buffer(name, getattr(statistics, name))
        # the same span in flux: vectors x noise_shape = to_frame x frame, frame orthonormal
        frame, to_frame = orthonormal_rows(statistics.vectors * statistics.noise_shape)
        self.register_buffer("frame", frame)
        self.register_buffer("to_frame", to_frame)
        self.first = nn.Linear(rank + FEATURES * knows_noise, hidden)
        self.blocks = nn.Sequential(*[Block(hidden, activation) for _ in range(blocks)])
        self.last = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, rank))
        nn.init.zeros_(self.last[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.last[1].bias)  # type: ignore[arg-type]

    @property
    def bottleneck(self) -> int:
        """Numbers that pass from the encoder to the decoder."""
        return len(self.vectors)

    def forward(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised (rows, pixels) of float32 flux_noisy and variance."""
        return self.mean + self.in_frame(flux_noisy, variance) @ self.frame

    def in_frame(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return (rows, rank) coefficients of the denoised flux in the orthonormal frame."""
        level = noise_level(variance, self.noise_shape)
        off = filled(flux_noisy, variance, self.mean) - self.mean
        measured = (off / self.noise_shape) @ self.vectors.T
        spread, gain = self.eigenvalues.sqrt(), wiener_gain(self.eigenvalues, level)
        # What the noise hides does not fill the input: a component's variance there is its gain.
        inputs = measured * spread / (self.eigenvalues + level.square())
        if self.knows_noise:
            inputs = torch.cat([inputs, level_features(level)], dim=1)
        with self.inside(inputs.device.type):
            hidden = self.blocks(self.first(inputs))
        learnt = self.last(hidden.to(inputs.dtype))
        if self.with_skip:  # in units of what the filter leaves unknown
            coefficients = gain * measured + level * gain.sqrt() * learnt
        else:
            coefficients = spread * learnt
        in_frame: Tensor = coefficients @ self.to_frame
        return in_frame

    def squared_error(self, flux_noisy: Tensor, variance: Tensor, target: Tensor) -> Tensor:
        """Return (rows,) mean squared error over pixels, without a product into pixel space.

        The frame is orthonormal: the error is that within it plus what of the target lies outside.
        """
        wanted = target - self.mean
        inside = wanted @ self.frame.T
        outside = wanted.square().sum(dim=1) - inside.square().sum(dim=1)
        error = (self.in_frame(flux_noisy, variance) - inside).square().sum(dim=1)
        return (error + outside.clamp(min=0.0)) / wanted.shape[1]
