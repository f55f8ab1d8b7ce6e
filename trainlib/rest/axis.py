"""An even axis of wavelengths at rest, and the ways between it and the observed pixels.

Data are never resampled: `gather` takes a curve, a quintic B-spline on the axis, to where the
pixels of a redshifted star look; `scatter` is its exact adjoint and brings what is said of pixels
(weights, weighted residuals) to the coefficients that it is about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solveh_banded

from simlib.cores import on_cores, threads
from trainlib.rest.kernels import (
    gather_rows,
    move_rows,
    rest_rows,
    scatter_rows,
    weigh_rows,
)

SPLINE = (66.0 / 120.0, 26.0 / 120.0, 1.0 / 120.0)  # a coefficient's share at its point, and on
COARSE = 2  # points from one to the next where products of curves are summed
_BEFORE, _BEHIND = 2, 4  # points that a place needs
_EDGE = 20  # points over which coefficients ring
_ROWS_A_THREAD = 128


@dataclass(frozen=True)
class RestAxis:
    """observed, rest: wavelengths of the first pixel and of the first point, nm; pitch: of both."""

    observed: float
    rest: float
    pitch: float
    pixels: int
    points: int

    @property
    def pixel_redshift(self) -> float:
        """Return the redshift that moves the middle of the arm by a pixel."""
        return self.pitch / (self.observed + 0.5 * self.pixels * self.pitch)

    def arm(self, redshift: float) -> slice:
        """Return the points that the pixels see of a star at a redshift."""
        place, step = self.places(np.array(redshift))
        first = round(float(place))
        return slice(first, first + round(float(step) * (self.pixels - 1)) + 1)

    def places(self, redshift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the first pixel lies, and how far apart pixels are, in points.

        Raises ValueError for a redshift that the axis does not reach to.
        """
        step = 1.0 / (1.0 + np.asarray(redshift, dtype=float))
        first = (self.observed * step - self.rest) / self.pitch
        last = first + step * (self.pixels - 1)
        if not (np.all(first >= _BEFORE) and np.all(last < self.points - _BEHIND)):
            raise ValueError(f"redshifts {redshift} leave the rest axis of {self.points} points")
        return first, step

    def gather(self, coefficients: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return curves (rows, pixels) as seen at redshifts; one row of coefficients serves all."""
        out = np.empty((len(redshift), self.pixels), np.float32)
        is_shared = len(coefficients) == 1
        _run(gather_rows, out, coefficients, *self.places(redshift), is_shared=is_shared)
        return out

    def scatter(self, values: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return (rows, points): the adjoint of `gather`, of values (rows, pixels)."""
        out = np.zeros((len(redshift), self.points), np.float32)
        _run(scatter_rows, out, values, *self.places(redshift))
        return out

    def weigh(self, weights: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return (rows, points / 2): for smooth curves, weights of every other point like these.

        weights: of pixels (rows, pixels). What is not negative stays so.
        """
        out = np.zeros((len(redshift), -(-self.points // COARSE)), np.float32)
        _run(weigh_rows, out, weights, *self.places(redshift))
        return out

    def move(self, coefficients: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return coefficients of curves whose value at x is the given ones' at x (1 + change)."""
        out = np.empty(coefficients.shape, np.float32)
        start = self.rest / self.pitch

        def move(rows: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
            move_rows(rows, start, change, out)

        _run(move, out, coefficients, np.asarray(change, dtype=float))
        return out

    def at_rest(self, smooth: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return (rows, points) of smooth curves known at pixels, the last values held beyond."""
        out = np.empty((len(redshift), self.points), np.float32)
        _run(rest_rows, out, smooth, *self.places(redshift))
        return out


def _run(
    loop: Callable[..., Any],
    out: np.ndarray,
    values: np.ndarray,
    *by_row: np.ndarray,
    is_shared: bool = False,
) -> None:
    """Run a loop over rows, shared among the cores; is_shared: of `values`."""
    values = np.ascontiguousarray(values, dtype=np.float32)

    def part(some: slice) -> None:
        loop(values if is_shared else values[some], *(column[some] for column in by_row), out[some])

    count = min(threads(), len(out) // _ROWS_A_THREAD)
    if count < 2:
        part(slice(None))
        return
    cuts = [len(out) * n // count for n in range(count + 1)]
    list(on_cores(part, map(slice, cuts[:-1], cuts[1:])))


def spline_coefficients(samples: np.ndarray) -> np.ndarray:
    """Return (rows, points) float32: splines of these coefficients go through the samples."""
    padded = np.pad(samples.astype(float), ((0, 0), (_EDGE, _EDGE)), mode="edge").T
    bands = np.repeat(np.array(SPLINE)[:, np.newaxis], len(padded), axis=1)
    solved = solveh_banded(bands, padded, lower=True, overwrite_b=True)
    return np.ascontiguousarray(solved[_EDGE:-_EDGE].T, dtype=np.float32)


def spline_samples(coefficients: np.ndarray) -> np.ndarray:
    """Return the values (rows, points) of splines at the points of the axis, the ends held."""
    padded = np.pad(coefficients, ((0, 0), (2, 2)), mode="edge")
    points = coefficients.shape[1]
    middle, beside, after = (np.float32(share) for share in SPLINE)
    near = padded[:, 1 : points + 1] + padded[:, 3 : points + 3]
    far = padded[:, :points] + padded[:, 4:]
    return np.asarray(middle * coefficients + beside * near + after * far)
