"""The redshift of a noisy spectrum: the evidence of a linear Gaussian model at every shift.

At each of some hundred shifts, a pixel apart, a star's spectrum is the mean and a few principal
components in a noise of the mean shape. What the components could make of a spectrum is integrated
out, so the evidence is a sum over a few projections, and that of all shifts is one product of
matrices. Lines are wider than two pixels, so the pixels are summed by twos first; not those of a
spectrum with masked pixels, whose sums are of the seen ones alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlib.models.rest.axis import RestAxis
from trainlib.models.rest.noise import median_of_seen
from trainlib.models.rest.statistics import RestStatistics

BEYOND = 2.0  # pixels searched beyond the range of redshifts
_ROWS = 256  # at a time: 23 kB a row
# Noisier than the level by this much, a pixel is drawn towards the mean as its noise says.
_USUAL = 2.0
_APART = 2  # shifts that a second peak is away, at least
_LEAST_ROWS = 4  # of a product: fewer are multiplied in another order, which moves the last digits


@dataclass(frozen=True)
class Redshifts:
    """What a scan found, (rows,) float64.

    redshift: the most probable. error: its sigma, from the curvature of the evidence. second: of
    the highest other peak, NaN where there is none. log_odds: of the first against it.
    """

    redshift: Tensor
    error: Tensor
    second: Tensor
    log_odds: Tensor


class Scan:
    """A bank of `components` principal directions at every shift, made once."""

    def __init__(self, statistics: RestStatistics, components: int) -> None:
        axis = statistics.rest_axis
        self.shape = statistics.noise_shape
        self.shifts = shifts_of(statistics, axis)
        kept = statistics.vectors[:components] * statistics.eigenvalues[:components, None].sqrt()
        left = statistics.eigenvalues[components:].sum() / axis.pixels
        self.left_out = float(left)  # variance of a pixel that the components do not make
        whitened = np.stack([
            axis.gather(row.numpy()[None], self.shifts) for row in (statistics.mean, *kept)
        ], axis=1)  # fmt: skip
        bank = torch.from_numpy(whitened) / self.shape
        self.centre = bank[:, 0].mean(dim=0)
        bank[:, 0] -= self.centre
        self.pixels = bank
        self.by_pixel = bank.mT.contiguous()  # the same, to take some pixels from quickly
        self.products = bank.double() @ bank.double().mT
        bank = by_twos(bank)
        means = bank[:, 0]
        squares, turn = torch.linalg.eigh((bank[:, 1:] @ bank[:, 1:].mT).double())
        self.squares = squares.clamp(min=1e-12)
        directions = (turn / self.squares.sqrt()[:, None]).mT.float() @ bank[:, 1:]
        self.of_means = (directions @ means[:, :, None])[:, :, 0].double()
        self.mean_squares = means.double().square().sum(dim=1)
        self.bank = torch.cat([directions, means[:, None]], dim=1).flatten(0, 1)

    def __call__(self, flux: Tensor, variance: Tensor) -> Redshifts:
        """Return the redshifts of spectra (rows, pixels), finite; infinite variance: masked."""
        parts = [
            self._peaks(self.log_evidence(flux[n : n + _ROWS], variance[n : n + _ROWS]))
            for n in range(0, max(len(flux), 1), _ROWS)
        ]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Redshifts(*(torch.cat(column) for column in columns))

    def log_evidence(self, flux: Tensor, variance: Tensor) -> Tensor:
        """Return (rows, shifts) float64, but for a constant of each row."""
        noise = variance.sqrt() / self.shape
        level = median_of_seen(noise, 1.0)
        far = 1.0 + 8.0 * level  # beyond what a star or its noise does
        seen = (flux / self.shape - self.centre).clamp(-far, far)
        seen = seen * (_USUAL * level / noise).square().clamp(max=1.0)
        squared = level.double().square() + self.left_out
        evidence = self._of_all(seen, squared)
        is_seen = noise < torch.inf
        if (cut := ~is_seen.all(dim=1)).any():
            evidence[cut] = self._of_seen(seen[cut], is_seen[cut], squared[cut])
        return evidence

    def _of_all(self, seen: Tensor, squared: Tensor) -> Tensor:
        """Return the evidence of whole spectra. squared: (rows, 1), their variance of a pixel."""
        shifts, each = self.pixels.shape[:2]
        products = _product(by_twos(seen), self.bank).view(len(seen), shifts, each)
        squared = squared[:, :, None]
        inside = (products[..., :-1] - self.of_means).square()
        fitted = (inside * (self.squares / (self.squares + squared))).sum(dim=2)
        misfit = self.mean_squares - 2.0 * products[..., -1] - fitted
        volume = torch.log1p(self.squares / squared).sum(dim=2)
        evidence: Tensor = -0.5 * (misfit / squared[..., 0] + volume)
        return evidence

    def _of_seen(self, seen: Tensor, is_seen: Tensor, squared: Tensor) -> Tensor:
        """Return the same of spectra of which some pixels are seen; the others are 0."""
        shifts, each = self.pixels.shape[:2]
        along = _product(seen, self.pixels.flatten(0, 1)).view(len(seen), shifts, each)
        evidence = torch.empty(len(seen), shifts, dtype=torch.float64)
        masks, which = torch.unique(is_seen, dim=0, return_inverse=True)
        for number, mask in enumerate(masks):
            rows = which == number
            is_mostly = int(mask.sum()) > mask.numel() // 2
            few = self.by_pixel[:, ~mask if is_mostly else mask].double()
            products = few.mT @ few
            products = self.products - products if is_mostly else products
            variance = squared[rows, :, None, None]  # (rows, 1, 1, 1)
            unit = torch.eye(each - 1, dtype=torch.float64)
            triangle = torch.linalg.cholesky(products[:, 1:, 1:] + variance * unit)
            off = along[rows][..., 1:] - products[:, 1:, 0]
            fitted = torch.linalg.solve_triangular(triangle, off[..., None], upper=False)
            misfit = products[:, 0, 0] - 2.0 * along[rows][..., 0] - fitted.square().sum((2, 3))
            root = triangle.diagonal(dim1=2, dim2=3) / variance[..., 0].sqrt()
            volume = 2.0 * root.log().sum(dim=2)
            evidence[rows] = -0.5 * (misfit / squared[rows] + volume)
        return evidence

    def _peaks(self, evidence: Tensor) -> Redshifts:
        """Return the place of the highest peak, by a parabola, and the second highest."""
        shifts = torch.from_numpy(self.shifts)
        pitch = self.shifts[1] - self.shifts[0]
        last = len(shifts) - 1
        best = evidence.argmax(dim=1, keepdim=True)
        at = best.clamp(1, last - 1)
        before, here, behind = (evidence.gather(1, at + n)[:, 0] for n in (-1, 0, 1))
        bend = (2.0 * here - before - behind).clamp(min=1e-9)
        offset = (0.5 * (behind - before) / bend).clamp(-1.0, 1.0)
        first = evidence.gather(1, best)[:, 0]
        padded = torch.nn.functional.pad(evidence, (1, 1), value=-math.inf)
        is_peak = (evidence >= padded[:, :-2]) & (evidence >= padded[:, 2:])
        is_other = is_peak & ((torch.arange(last + 1) - best).abs() > _APART)
        second, where = evidence.where(is_other, -math.inf).max(dim=1)
        return Redshifts(
            redshift=shifts[at[:, 0]] + offset * pitch,
            error=pitch / bend.sqrt(),
            second=shifts[where].where(second > -math.inf, math.nan),
            log_odds=first - second,
        )


def _product(rows: Tensor, others: Tensor) -> Tensor:
    """Return rows (n, p) times others (m, p), (n, m) float64; a row's do not depend on how many."""
    padded = torch.nn.functional.pad(rows, (0, 0, 0, max(_LEAST_ROWS - len(rows), 0)))
    product: Tensor = (padded @ others.T)[: len(rows)].double()
    return product


def by_twos(values: Tensor) -> Tensor:
    """Return sums of neighbours in the last axis; white noise in it keeps its variance."""
    padded = torch.nn.functional.pad(values, (0, values.shape[-1] % 2))
    return (padded[..., ::2] + padded[..., 1::2]) * math.sqrt(0.5)


def shifts_of(statistics: RestStatistics, axis: RestAxis) -> np.ndarray:
    """Return the redshifts that are tried, a pixel apart, float64."""
    low, high = statistics.redshifts.tolist()
    pitch = axis.pixel_redshift
    count = math.ceil((high - low) / pitch + 2.0 * BEYOND) + 1
    middle = 0.5 * (low + high)
    return np.asarray(middle + pitch * (np.arange(count) - 0.5 * (count - 1)))
