"""The redshift of a noisy spectrum: the evidence of a linear Gaussian model at every shift.

At each of some hundred shifts, a pixel apart, a star's spectrum is the mean and a few principal
components in a noise of the mean shape. What the components could make of a spectrum is integrated
out, so the evidence is a sum over a few projections, and that of all shifts is one product of
matrices. Lines are wider than two pixels, so the pixels are summed by twos first. In one with
masked pixels the projections are no longer independent, and are solved for at each shift.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from trainlib.rest.axis import RestAxis
from trainlib.rest.kernels import evidence_rows, seen_rows
from trainlib.rest.noise import median_of_seen
from trainlib.rest.statistics import RestStatistics

BEYOND = 2.0  # pixels searched beyond the range of redshifts
_ROWS = 256  # at a time: 23 kB a row
_APART = 2  # shifts that a second peak is away, at least


@dataclass(frozen=True, eq=False)
class Redshifts:
    """What a scan found, (rows,) float64.

    redshift: the most probable. error: its sigma, from the curvature of the evidence. second: of
    the highest other peak, NaN where there is none. log_odds: of the first against it.
    """

    redshift: np.ndarray
    error: np.ndarray
    second: np.ndarray
    log_odds: np.ndarray


class Scan:
    """A bank of `components` principal directions at every shift, made once."""

    def __init__(self, statistics: RestStatistics, components: int) -> None:
        axis = statistics.rest_axis
        self.shape = statistics.noise_shape
        self.shifts = shifts_of(statistics, axis)
        root = np.sqrt(statistics.eigenvalues[:components, np.newaxis])
        left = statistics.eigenvalues[components:].sum() / axis.pixels
        self.left_out = float(left)  # variance of a pixel that the components do not make
        bank = np.stack([
            axis.gather(row[np.newaxis], self.shifts)
            for row in (statistics.mean, *(statistics.vectors[:components] * root))
        ], axis=1)  # fmt: skip
        bank /= self.shape
        self.centre = bank[:, 0].mean(axis=0)
        bank[:, 0] -= self.centre
        pairs = by_twos(bank[:, 1:])
        squares, turn = np.linalg.eigh((pairs @ pairs.swapaxes(1, 2)).astype(float))
        squares = np.maximum(squares, 1e-12)
        self.squares = np.ascontiguousarray(squares.T)  # (directions but the mean, shifts)
        turn = (turn / np.sqrt(squares)[:, np.newaxis]).swapaxes(1, 2).astype(np.float32)
        bank[:, 1:] = turn @ bank[:, 1:]
        whole = by_twos(bank)
        # (pixels or pairs of them, directions, shifts): loops run over shifts
        self.pixels, self.pairs = (np.ascontiguousarray(one.transpose(2, 1, 0))
                                   for one in (bank, whole))  # fmt: skip
        whole = whole.astype(float)
        self.products = np.ascontiguousarray((whole @ whole.swapaxes(1, 2)).transpose(1, 2, 0))

    def __call__(self, flux: np.ndarray, variance: np.ndarray) -> Redshifts:
        """Return the redshifts of spectra (rows, pixels), finite; infinite variance: masked."""
        parts = [
            self._peaks(self.log_evidence(flux[n : n + _ROWS], variance[n : n + _ROWS]))
            for n in range(0, max(len(flux), 1), _ROWS)
        ]
        return Redshifts(*(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Redshifts)
        ))  # fmt: skip

    def log_evidence(self, flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return (rows, shifts) float64, but for a constant of each row."""
        noise = np.sqrt(variance)
        noise /= self.shape
        level = median_of_seen(noise, 1.0)
        count, pixels = flux.shape
        seen, is_alone = np.empty((count, pixels), np.float32), np.empty((count, pixels), bool)
        pairs, is_pair = (np.empty((count, len(self.pairs)), kind) for kind in (np.float32, bool))
        seen_rows(flux, noise, self.shape, self.centre, level[:, 0], seen, is_alone, pairs, is_pair)
        squared = np.square(level.astype(float)) + self.left_out
        cut = ~is_pair.all(axis=1)
        along = self._along(pairs)
        evidence = np.empty((count, len(self.shifts)))
        if not cut.all():
            evidence[~cut] = self._of_all(along[~cut], squared[~cut])
        if cut.any():
            some = slice(None) if cut.all() else cut  # then nothing is copied
            parts = (part[some] for part in (along, seen, is_alone, is_pair, squared[:, 0]))
            evidence[some] = self._of_seen(*parts)
        return evidence

    def _along(self, pairs: np.ndarray) -> np.ndarray:
        """Return products (rows, directions, shifts) of sums of two pixels with the bank."""
        count, *shape = self.pairs.shape
        along = pairs @ self.pairs.reshape(count, -1)
        return np.asarray(along.astype(float).reshape(-1, *shape))

    def _of_all(self, along: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Return the evidence of whole spectra. squared: (rows, 1), their variance of a pixel."""
        of_pixel = squared[:, :, np.newaxis]
        inside = np.square(along[:, 1:] - self.products[1:, 0])
        inside *= self.squares / (self.squares + of_pixel)
        misfit = self.products[0, 0] - 2.0 * along[:, 0] - inside.sum(axis=1)
        volume = np.log1p(self.squares / of_pixel).sum(axis=1)
        return np.asarray(-0.5 * (misfit / squared + volume))

    def _of_seen(
        self,
        along: np.ndarray,
        seen: np.ndarray,
        is_alone: np.ndarray,
        is_pair: np.ndarray,
        squared: np.ndarray,
    ) -> np.ndarray:
        """Return the same of spectra of which some pixels are seen; see `kernels.seen_rows`.

        A pixel whose neighbour is not seen stands for itself.
        """
        evidence = np.empty((len(seen), len(self.shifts)))
        evidence_rows(along, seen, is_alone, is_pair, self.pairs, self.pixels, self.products,
                      self.squares, squared, evidence)  # fmt: skip
        return evidence

    def _peaks(self, evidence: np.ndarray) -> Redshifts:
        """Return the place of the highest peak, by a parabola, and the second highest."""
        pitch = self.shifts[1] - self.shifts[0]
        last = len(self.shifts) - 1
        best = evidence.argmax(axis=1)
        at = np.clip(best, 1, last - 1)
        row = np.arange(len(evidence))
        before, here, behind = (evidence[row, at + n] for n in (-1, 0, 1))
        bend = np.maximum(2.0 * here - before - behind, 1e-9)
        offset = np.clip(0.5 * (behind - before) / bend, -1.0, 1.0)
        padded = np.pad(evidence, ((0, 0), (1, 1)), constant_values=-np.inf)
        is_peak = (evidence >= padded[:, :-2]) & (evidence >= padded[:, 2:])
        is_other = is_peak & (np.abs(np.arange(last + 1) - best[:, np.newaxis]) > _APART)
        others = np.where(is_other, evidence, -np.inf)
        where = others.argmax(axis=1)
        second = others[row, where]
        return Redshifts(
            redshift=self.shifts[at] + offset * pitch,
            error=pitch / np.sqrt(bend),
            second=np.where(second > -np.inf, self.shifts[where], np.nan),
            log_odds=evidence[row, best] - second,
        )


def by_twos(values: np.ndarray) -> np.ndarray:
    """Return sums of neighbours in the last axis; white noise in it keeps its variance."""
    end = values.shape[-1] - values.shape[-1] % 2
    sums = values[..., :end:2] + values[..., 1:end:2]
    if end < values.shape[-1]:
        sums = np.concatenate([sums, values[..., end:]], axis=-1)
    return np.asarray(sums * np.float32(math.sqrt(0.5)))


def shifts_of(statistics: RestStatistics, axis: RestAxis) -> np.ndarray:
    """Return the redshifts that are tried, a pixel apart, float64."""
    low, high = statistics.redshifts
    pitch = axis.pixel_redshift
    count = math.ceil((high - low) / pitch + 2.0 * BEYOND) + 1
    middle = 0.5 * (low + high)
    return np.asarray(middle + pitch * (np.arange(count) - 0.5 * (count - 1)))
