"""How a noisy spectrum lies about what was made of it: its scatter, its runs, its unseen features.

A run of n pixels has the significance S = sum(w r) / sqrt(sum(w) + sum(w e)^2) with r the residual,
w the inverse variance of the noise and e the error of what was made. The second term, errors that
go together, is for short runs alone: over long ones they are of either sign. A pixel that is far
off and alone, as no line of this resolution is, is a cosmic ray and counts in no run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simlib.simulation.compiled.median import middle_of_seen
from trainlib.trust.kernels import largest_rows, sum_rows

MEASURES = ("misfit", "runs", "features", "distance")
NARROW, WIDE = (3, 5, 9, 15), (31, 63, 127, 255)  # pixels of a run: of a line, and of more
_AT_ONCE = 8  # rows: they stay in the processor's cache
_FAR, _ALONE = 5.0, 0.4
_MOST_WEIGHT = 25.0  # of a pixel, over the median's
_MOST_FEATURES = 8


@dataclass(frozen=True)
class Feature:
    """A run of pixels that no known star has. significance: in sigma, below 0 where absorbed."""

    wavelength: float  # nm, of its middle
    pixels: int
    significance: float

    def __str__(self) -> str:
        """Return it as a table tells it."""
        return f"{self.wavelength:.2f} nm ({self.significance:+.0f})"


@dataclass(frozen=True, eq=False)
class Residuals:
    """Sums from the first pixel on, (rows, pixels + 1), of w r, w and w e. shared: (rows,)."""

    misfit: np.ndarray
    of_residual: np.ndarray
    of_weight: np.ndarray
    of_error: np.ndarray
    shared: np.ndarray

    def significance(self, pixels: int) -> np.ndarray:
        """Return S of every run of so many pixels, (rows, runs); 0 where none was seen."""
        top, weight = _sums(self.of_residual, pixels), _sums(self.of_weight, pixels)
        squared = np.maximum(weight, 0.0)
        if pixels in NARROW:
            squared += np.square(_sums(self.of_error, pixels))
        # noise that resampling made neighbours share
        squared *= 1.0 + 2.0 * self.shared[:, np.newaxis] * (1.0 - 1.0 / pixels)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: np.ndarray = np.where(squared > 0.0, top / np.sqrt(squared), 0.0)
        return found

    def largest(self, runs: tuple[int, ...]) -> np.ndarray:
        """Return (rows,) the largest |S| of runs of such lengths."""
        squares = np.zeros(len(self.misfit))
        for pixels in runs:
            if pixels < self.of_weight.shape[1]:
                largest_rows(self.of_residual, self.of_weight, self.of_error, self.shared, pixels,
                             pixels in NARROW, squares)  # fmt: skip
        return np.sqrt(squares)


def residuals_of(
    flux: np.ndarray,
    variance: np.ndarray,
    made: np.ndarray,
    error: np.ndarray,
    shared: np.ndarray | float = 0.0,
) -> Residuals:
    """Return what is needed of noisy spectra and what was made of them, (rows, pixels).

    An infinite variance masks a pixel. shared: (rows,), correlation of neighbours' noise.
    """
    flux, variance, made, error = (
        np.ascontiguousarray(part, dtype=np.float32) for part in (flux, variance, made, error)
    )
    usual = middle_of_seen(variance, 1.0).mean(axis=1, dtype=float)
    rows, pixels = flux.shape
    misfit, sums = np.empty(rows), np.empty((3, rows, pixels + 1))
    sum_rows(flux, variance, made, error, usual, (_FAR, _ALONE, _MOST_WEIGHT), misfit, *sums)
    together = np.broadcast_to(np.asarray(shared, float), rows)
    return Residuals(misfit, sums[0], sums[1], sums[2], together)


def measured(
    flux: np.ndarray,
    variance: np.ndarray,
    made: np.ndarray,
    error: np.ndarray,
    distance: np.ndarray,
    shared: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return (rows, measures) of spectra; see `residuals_of` and `MEASURES`.

    distance: (rows,), of the network's answer from its training spectra.
    """
    found = np.empty((len(flux), len(MEASURES)))
    together = np.broadcast_to(shared, len(flux))
    for start in range(0, len(flux), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        seen = residuals_of(flux[some], variance[some], made[some], error[some], together[some])
        columns = (seen.misfit, seen.largest(WIDE), seen.largest(NARROW), distance[some])
        found[some] = np.stack(columns, axis=1)
    return found


def features_in(seen: Residuals, wavelength: np.ndarray, least: float) -> tuple[Feature, ...]:
    """Return the runs of a spectrum (1, pixels) with |S| above `least`, the largest first."""
    return tuple(_features(seen, wavelength, least))


def _features(seen: Residuals, wavelength: np.ndarray, least: float) -> Iterator[Feature]:
    best, width = np.zeros(len(wavelength)), np.ones(len(wavelength), int)
    for pixels in NARROW:
        if pixels > len(wavelength):
            break
        here = seen.significance(pixels)[0]
        middle = slice(pixels // 2, pixels // 2 + len(here))
        is_larger = np.abs(here) > np.abs(best[middle])
        best[middle] = np.where(is_larger, here, best[middle])
        width[middle] = np.where(is_larger, pixels, width[middle])
    for _ in range(_MOST_FEATURES):
        at = int(np.abs(best).argmax())
        if not abs(best[at]) > least:
            return
        yield Feature(float(wavelength[at]), int(width[at]), float(best[at]))
        reach = max(NARROW)  # what lies nearer is of the same
        best[max(at - reach, 0) : at + reach + 1] = 0.0


def _sums(from_first: np.ndarray, pixels: int) -> np.ndarray:
    sums: np.ndarray = from_first[:, pixels:] - from_first[:, :-pixels]
    return sums
