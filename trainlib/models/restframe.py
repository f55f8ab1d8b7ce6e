"""The residual network of the rest frame as torch trains it; see `trainlib.rest`.

All but the network is computed on the processor, wherever the network is.
"""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn

from trainlib.models.projection import Block
from trainlib.models.short import ShortInside
from trainlib.rest.denoiser import Known, RestDenoiser
from trainlib.rest.frame import RestFrame
from trainlib.rest.network import BESIDE, STARS, Corrected, corrected, inputs_of, usual_error
from trainlib.rest.scan import Scan
from trainlib.rest.statistics import RestStatistics, statistics_in

_OTHERS = 0.02  # weight in the loss of what is not the spectrum
_SMALLEST = 1e-10


class RestFrameNetwork(ShortInside):
    """Denoiser of `blocks` residual blocks of width `hidden` about `rank` coefficients.

    steps: of conjugate gradients. components: that the scan for redshifts knows.
    """

    redshifts: Tensor
    vectors: Tensor
    eigenvalues: Tensor

    def __init__(
        self,
        statistics: RestStatistics,
        *,
        hidden: int,
        blocks: int,
        activation: str,
        steps: int,
        components: int,
    ) -> None:
        super().__init__()
        rank = len(statistics.vectors)
        self.steps, self.components = steps, components
        for field in fields(RestStatistics):
            self.register_buffer(field.name, torch.tensor(getattr(statistics, field.name)))
        self._range = tuple(statistics.redshifts.tolist())
        self.first = nn.Linear(rank + BESIDE, hidden)
        self.blocks = nn.Sequential(*[Block(hidden, activation) for _ in range(blocks)])
        self.norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, rank + len(STARS) + 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self._denoiser: RestDenoiser | None = None
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def bottleneck(self) -> int:
        """Coefficients that a spectrum is made of."""
        return len(self.vectors)

    @property
    def denoiser(self) -> RestDenoiser:
        """What is done with the network, of its statistics as they are."""
        if self._denoiser is None:
            arrays = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
            frame = RestFrame(statistics_in(arrays), self.steps)
            self._denoiser = RestDenoiser(frame, self.components, self._correct_arrays)
        return self._denoiser

    @property
    def frame(self) -> RestFrame:
        """The rest frame, on the processor."""
        return self.denoiser.frame

    @property
    def scan(self) -> Scan:
        """What finds redshifts."""
        return self.denoiser.scan

    def forward(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised (rows, pixels) of float32 flux_noisy and variance."""
        made = self.denoiser.flux(flux_noisy.cpu().numpy(), variance.cpu().numpy())
        return torch.from_numpy(made).to(flux_noisy.device)

    def denoise(self, flux_noisy: Tensor, variance: Tensor) -> Known:
        """Return all that is known of spectra (rows, pixels).

        A variance that is not finite, or not positive, masks a pixel.
        """
        return self.denoiser.denoise(flux_noisy.cpu().numpy(), variance.cpu().numpy())

    def _correct_arrays(self, *arrays: np.ndarray) -> Corrected:
        here = self.vectors.device
        made = self.correct(*(torch.from_numpy(part).to(here) for part in arrays))
        return Corrected(*(part.detach().cpu().numpy() for part in vars(made).values()))

    def correct(self, solution: Tensor, level: Tensor, redshift: Tensor) -> Corrected:
        """Return what the network makes of linear solutions (rows, rank); all float32.

        level, redshift: (rows,).
        """
        inputs = inputs_of(torch, solution, level, redshift, self.eigenvalues, self._range)
        with self.inside(solution.device.type):
            hidden = self.blocks(self.first(inputs))
        learnt = self.last(self.norm(hidden.float()))
        return corrected(torch, learnt, solution, level, self.eigenvalues)


def _forget(model: RestFrameNetwork, _: object) -> None:
    model._denoiser, model._range = None, tuple(model.redshifts.tolist())


class RestObjective(nn.Module):
    """The network as DDP sees it: its forward is the error that is minimised.

    loss: `rmse`, or `mae`, the mean absolute error over the arm of a star at rest.
    """

    relative: Tensor
    over_mean: Tensor

    def __init__(self, model: RestFrameNetwork, loss: str = "rmse") -> None:
        super().__init__()
        self.model, self.loss = model, loss
        here, frame = model.vectors.device, model.frame
        relative = torch.from_numpy(frame.relative).to(here)
        self.register_buffer("relative", relative, persistent=False)
        if loss == "mae":
            over_mean = torch.from_numpy(frame.over_mean.astype(np.float32)).to(here)
            self.register_buffer("over_mean", over_mean, persistent=False)

    def forward(
        self, solution: Tensor, level: Tensor, redshift: Tensor, truth: Tensor, stars: Tensor
    ) -> Tensor:
        """Return (rows,) relative errors of spectra, in units of what is usual at their noise.

        A little of the errors of the stars' parameters, and of the error that is told itself, is
        added. truth: (rows, rank). stars: (rows, 4), in units of their spread.
        """
        made = self.model.correct(solution, level, redshift)
        off = made.coefficients - truth
        squared = (off @ self.relative).square().sum(dim=1)
        if self.loss == "mae":
            error = (off @ self.over_mean).abs().mean(dim=1)
        else:
            error = (squared + _SMALLEST).sqrt()
        beside = (made.stars - stars).square().mean(dim=1)
        told = torch.log(made.relative / usual_error(level))
        told = told + 0.5 * squared.detach() / made.relative.square()
        loss: Tensor = error / usual_error(level) + _OTHERS * (beside + told)
        return loss
