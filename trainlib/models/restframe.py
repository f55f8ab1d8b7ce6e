"""A residual network around a linear solution, in the frame in which the star rests.

A noisy spectrum's redshift is scanned for, its most probable coefficients there are solved for with
its own weights, the network corrects these, and the curve is looked at from the observed frame. A
pixel of infinite variance is masked: it has no weight anywhere. All but the network is computed on
the processor, wherever the network is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor, nn

from trainlib.models.projection import Block
from trainlib.models.rest.frame import RestFrame
from trainlib.models.rest.scan import Redshifts, Scan
from trainlib.models.rest.statistics import RestStatistics, statistics_in

STARS = ("teff", "logg", "feh", "alpha")
_LEVEL_FEATURES, _REDSHIFT_FEATURES = 3, 2
_TYPICAL = 0.05  # of a noise level: S/N 10
_TYPICAL_ERROR = 0.02  # relative, at that level; it goes with a power of the level
_POWER = 0.8
_BESIDE = 0.02  # weight in the loss of what is not the spectrum
_ROWS = 512  # at a time
_SMALLEST = 1e-10


@dataclass(frozen=True)
class Denoised:
    """What is known of noisy spectra; (rows, pixels) or (rows,) unless said.

    error: sigma of `flux`: the shape of the linear Gaussian posterior's, of which a pixel's prior
    and the level of the noise are all it knows, at the size that the network has learnt its errors
    to have. Inside a gap it grows as the posterior's does without its pixels. redshift,
    redshift_error, second_redshift and log_odds: see `rest.scan.Redshifts`. stars: (rows, 4) teff,
    logg, feh, alpha. distance: of the coefficients from the mean of the training spectra, in units
    of their spread, root mean square.
    """

    flux: Tensor
    error: Tensor
    redshift: Tensor
    redshift_error: Tensor
    second_redshift: Tensor
    log_odds: Tensor
    stars: Tensor
    distance: Tensor


@dataclass(frozen=True)
class Corrected:
    """What the network makes of a linear solution.

    coefficients: (rows, rank). stars: (rows, 4), in units of their spread. relative: (rows,) error
    that is expected, relative to the mean spectrum, root mean square.
    """

    coefficients: Tensor
    stars: Tensor
    relative: Tensor


class RestFrameNetwork(nn.Module):
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
            self.register_buffer(field.name, getattr(statistics, field.name))
        self.first = nn.Linear(rank + _LEVEL_FEATURES + _REDSHIFT_FEATURES, hidden)
        self.blocks = nn.Sequential(*[Block(hidden, activation) for _ in range(blocks)])
        self.norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, rank + len(STARS) + 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self._frame: RestFrame | None = None
        self._scan: Scan | None = None
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def bottleneck(self) -> int:
        """Coefficients that a spectrum is made of."""
        return len(self.vectors)

    @property
    def frame(self) -> RestFrame:
        """The rest frame, on the processor."""
        if self._frame is None:
            self._frame = RestFrame(statistics_in(dict(self.named_buffers())), self.steps)
        return self._frame

    @property
    def scan(self) -> Scan:
        """What finds redshifts; made when it is first needed."""
        if self._scan is None:
            self._scan = Scan(self.frame.statistics, self.components)
        return self._scan

    def forward(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return flux_denoised (rows, pixels) of float32 flux_noisy and variance."""
        parts = [self._flux(self._known(*part)) for part in parts_of(flux_noisy, variance)]
        return torch.cat(parts).to(flux_noisy.device)

    def denoise(self, flux_noisy: Tensor, variance: Tensor) -> Denoised:
        """Return all that is known of spectra (rows, pixels).

        A variance that is not finite, or not positive, masks a pixel.
        """
        parts = [
            self._denoised(self._known(*part), ~part[1].isfinite())
            for part in parts_of(flux_noisy, variance)
        ]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Denoised(*(torch.cat(column).to(flux_noisy.device) for column in columns))

    def _known(self, flux: Tensor, variance: Tensor) -> tuple[Redshifts, Tensor, Corrected]:
        """Return redshifts, levels of the noise, and the corrected solutions there."""
        found = self.scan(flux, variance)
        solution, level = self.frame.solved(flux, variance, found.redshift.numpy())
        here = self.eigenvalues.device
        made = self.correct(solution.to(here), level.to(here), found.redshift.float().to(here))
        return found, level, Corrected(*(part.detach().cpu() for part in vars(made).values()))

    def _flux(self, known: tuple[Redshifts, Tensor, Corrected]) -> Tensor:
        found, _, made = known
        return self.frame.spectra(made.coefficients, found.redshift.numpy())

    def _denoised(self, known: tuple[Redshifts, Tensor, Corrected], is_masked: Tensor) -> Denoised:
        found, level, made = known
        frame, redshift = self.frame, found.redshift.numpy()
        told = frame.statistics
        left = level[:, None].square() * gain_of(told.eigenvalues, level)
        size = made.relative / (left @ frame.relative_squares).sqrt()
        return Denoised(
            flux=self._flux(known),
            error=frame.spread(
                left * size[:, None].square(), redshift, frame.gaps(is_masked, level, redshift)
            ),
            redshift=found.redshift,
            redshift_error=found.error,
            second_redshift=found.second,
            log_odds=found.log_odds,
            stars=told.stars[0] + told.stars[1] * made.stars,
            distance=(made.coefficients.square() / told.eigenvalues).mean(dim=1).sqrt(),
        )

    def correct(self, solution: Tensor, level: Tensor, redshift: Tensor) -> Corrected:
        """Return what the network makes of linear solutions (rows, rank); all float32.

        level, redshift: (rows,). While it trains, arithmetic inside is bfloat16 where that is fast.
        """
        low, high = self.redshifts.unbind()
        scaled = ((redshift - 0.5 * (low + high)) / (0.5 * (high - low)).clamp(min=1e-5)).float()
        log = torch.log(level / _TYPICAL)
        inputs = torch.cat([
            solution / self.eigenvalues.sqrt(),
            torch.stack([0.5 * log, torch.tanh(log), torch.exp(-0.5 * log.square()),
                         scaled, scaled.square() - 1.0 / 3.0], dim=1),
        ], dim=1)  # fmt: skip
        kind = solution.device.type
        is_short = self.training and is_short_fast(kind)
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=is_short):
            hidden = self.blocks(self.first(inputs))
        learnt = self.last(self.norm(hidden.float()))
        rank = solution.shape[1]
        width = level[:, None] * gain_of(self.eigenvalues, level).sqrt()  # that the solution leaves
        return Corrected(
            coefficients=solution + width * learnt[:, :rank],
            stars=learnt[:, rank:-1],
            relative=usual_error(level) * torch.exp(learnt[:, -1].clamp(-5.0, 5.0)),
        )


def _forget(model: RestFrameNetwork, _: object) -> None:
    model._frame = model._scan = None


def parts_of(flux_noisy: Tensor, variance: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield some rows at a time on the processor, masked pixels 0 with infinite variance."""
    is_seen = (variance > 0.0) & (variance < torch.inf) & flux_noisy.isfinite()
    variance = variance.where(is_seen, torch.inf).float().cpu()
    flux = flux_noisy.where(is_seen, 0.0).float().cpu()
    for first in range(0, max(len(flux), 1), _ROWS):
        some = slice(first, first + _ROWS)
        yield flux[some], variance[some]


@cache
def is_short_fast(kind: str) -> bool:
    """Return whether a kind of device multiplies in bfloat16: many a processor is slower in it."""
    known = torch.cpu.get_capabilities()
    return kind != "cpu" or any(known.get(f"{name}bf16") for name in ("avx512_", "amx_", ""))


def gain_of(eigenvalues: Tensor, level: Tensor) -> Tensor:
    """Return (rows, rank) share of a coefficient's variance that is signal at mean weights."""
    return eigenvalues / (eigenvalues + level.square()[:, None])


def usual_error(level: Tensor) -> Tensor:
    """Return (rows,) relative error that a spectrum is known to at a noise level, about."""
    return _TYPICAL_ERROR * (level / _TYPICAL).pow(_POWER)


class RestObjective(nn.Module):
    """The network as DDP sees it: its forward is the error that is minimised."""

    relative: Tensor

    def __init__(self, model: RestFrameNetwork) -> None:
        super().__init__()
        self.model = model
        relative = model.frame.relative.to(model.vectors.device)
        self.register_buffer("relative", relative, persistent=False)

    def forward(
        self, solution: Tensor, level: Tensor, redshift: Tensor, truth: Tensor, stars: Tensor
    ) -> Tensor:
        """Return (rows,) relative errors of spectra, in units of what is usual at their noise.

        A little of the errors of the stars' parameters, and of the error that is told itself, is
        added. truth: (rows, rank). stars: (rows, 4), in units of their spread.
        """
        made = self.model.correct(solution, level, redshift)
        squared = ((made.coefficients - truth) @ self.relative).square().sum(dim=1)
        error = (squared + _SMALLEST).sqrt()
        beside = (made.stars - stars).square().mean(dim=1)
        told = torch.log(made.relative / usual_error(level))
        told = told + 0.5 * squared.detach() / made.relative.square()
        return error / usual_error(level) + _BESIDE * (beside + told)
