"""What a network has to beat that knows nothing of redshifts: filters and principal components.

All but the Gaussian are made from augmented training spectra, so that they know the calibration
error, scale and offset as the network does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import savgol_filter
from torch import Tensor

from trainlib.evaluation.metrics import SNR_EDGES, divisor
from trainlib.models.statistics import Statistics, principal_basis
from trainlib.training.augment import Batch

_ITERATIONS = 40  # of conjugate gradients, at most
_CONVERGED = 1e-4  # relative residual
_TRUNCATE = 4.0  # half width of the Gaussian, in sigma
_WINDOWS = (5, 7, 9, 13, 17, 25, 35, 51)  # pixels
_ORDER = 3  # of the polynomial in a window, at most


def smooth(flux_noisy: Tensor, sigma_pixels: float) -> Tensor:
    """Return spectra (rows, pixels) smoothed with a Gaussian, renormalised at the ends."""
    reach = max(1, round(_TRUNCATE * sigma_pixels))
    offsets = torch.arange(-reach, reach + 1, dtype=flux_noisy.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma_pixels) ** 2)[None, None]

    def convolve(rows: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(rows[:, None], kernel, padding=reach)[:, 0]

    return convolve(flux_noisy) / convolve(torch.ones_like(flux_noisy[:1]))


@dataclass(frozen=True)
class SavitzkyGolay:
    """Local polynomials. windows: pixels, the best ones of training spectra in each bin of S/N."""

    windows: tuple[int, ...]

    def __call__(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return smoothed spectra (rows, pixels), each with the window of its own S/N."""
        made, window = (
            torch.empty_like(flux_noisy),
            np.array(self.windows)[_bins(flux_noisy, variance)],
        )
        for one in np.unique(window):
            some = torch.from_numpy(window == one)
            made[some] = _polynomials(flux_noisy[some], int(one))
        return made


def savitzky_golay(training: Batch, flux_floor: float) -> SavitzkyGolay:
    """Return the filter whose windows leave the least mean |R| in noisy training spectra.

    A bin of S/N without any has the window of the nearest one.
    """
    noisy, target = training.noisy, training.target
    windows = [one for one in _WINDOWS if one <= noisy.shape[1]] or [1]
    unit = divisor(target, flux_floor)
    errors = torch.stack(
        [((_polynomials(noisy, one) - target) / unit).abs().mean(dim=1) for one in windows]
    ).numpy()
    bins = _bins(noisy, training.variance)
    filled = np.unique(bins)
    best = [windows[int(errors[:, bins == one].mean(axis=1).argmin())] for one in filled]
    nearest = [int(np.abs(filled - one).argmin()) for one in range(len(SNR_EDGES) - 1)]
    return SavitzkyGolay(tuple(best[one] for one in nearest))


def _polynomials(flux: Tensor, window: int) -> Tensor:
    smoothed = savgol_filter(flux.numpy(), window, min(_ORDER, window - 1), axis=1)
    return torch.from_numpy(smoothed.astype(np.float32))


def _bins(flux_noisy: Tensor, variance: Tensor) -> np.ndarray:
    """Return the bins (rows,) of the S/N that noisy spectra seem to have."""
    snr = (flux_noisy / variance.sqrt()).median(dim=1).values.numpy()
    return np.asarray(np.digitize(snr, SNR_EDGES[1:-1]))


@dataclass(frozen=True)
class Components:
    """Principal components of training spectra: mean (pixels,), vectors (rank, pixels)."""

    mean: Tensor
    vectors: Tensor


def principal_components(target: Tensor, rank: int, seed: int = 0) -> Components:
    """Return the leading components of training spectra (rows, pixels)."""
    mean = target.mean(dim=0)
    vectors, _ = principal_basis(target - mean, min(rank, *target.shape), seed)
    return Components(mean, vectors)


def project(flux_noisy: Tensor, components: Components) -> Tensor:
    """Return spectra projected on the components, all pixels alike."""
    coefficients = (flux_noisy - components.mean) @ components.vectors.T
    return components.mean + coefficients @ components.vectors


def wiener(flux_noisy: Tensor, variance: Tensor, statistics: Statistics) -> Tensor:
    """Return the most probable spectra for Gaussian noise and Gaussian component coefficients.

    Solves (1/l + V W V') c = V W z, z the whitened spectrum and W the inverse of its variance,
    by conjugate gradients for all rows at once, preconditioned by the diagonal of white noise.
    """
    vectors, eigenvalues = statistics.vectors, statistics.eigenvalues
    weight = statistics.noise_shape.square() / variance
    scale = eigenvalues.clamp(min=1e-12 * float(eigenvalues[0])).sqrt()
    basis = scale[:, None] * vectors  # coefficients of unit prior variance

    def normal(c: Tensor) -> Tensor:
        return c + ((c @ basis) * weight) @ basis.T

    whitened = (flux_noisy - statistics.mean) / statistics.noise_shape
    preconditioner = 1.0 / (1.0 + scale.square() * weight.mean(dim=1, keepdim=True))
    solution = _conjugate_gradients(normal, (whitened * weight) @ basis.T, preconditioner)
    return statistics.mean + statistics.noise_shape * (solution @ basis)


def _conjugate_gradients(
    operator: Callable[[Tensor], Tensor], right: Tensor, preconditioner: Tensor
) -> Tensor:
    solution, residual = torch.zeros_like(right), right.clone()
    direction = preconditioner * residual
    power = (residual * direction).sum(dim=1, keepdim=True)
    goal = _CONVERGED**2 * right.square().sum(dim=1)
    for _ in range(_ITERATIONS):
        image = operator(direction)
        length = power / (direction * image).sum(dim=1, keepdim=True).clamp(min=1e-30)
        solution += length * direction
        residual -= length * image
        if bool((residual.square().sum(dim=1) <= goal).all()):
            break
        better = preconditioner * residual
        power, before = (residual * better).sum(dim=1, keepdim=True), power
        direction = better + (power / before.clamp(min=1e-30)) * direction
    return solution
