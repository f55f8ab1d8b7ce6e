"""The most probable star of each noisy spectrum, by Levenberg's and Marquardt's damped steps.

A step that would leave the grid is the best one within its walls: to cut the whole step, or one
unknown of it, would stall there. Directions are made anew only where a step is long in terms of the
errors; the last ones, of which one is always taken beyond the tolerance, need no more than spectra.
"""

from dataclasses import dataclass, fields

import numpy as np

from simlib.fit.generator import STARS
from simlib.fit.problem import Looked, Problem, Seen, look, put_directions, seen

_ROWS = 64  # at a time: half a megabyte of directions each
_FIRST, _LEAST, _MOST = 1e-3, 1e-9, 1e6  # damping, relative to the information
_TRUSTED = 1.0  # damping above which a short step says nothing
_LESS, _MORE = 0.1, 20.0  # of the damping, after a step that helped and one that did not
_HELD = 12  # times that a step is solved again with other unknowns on their walls
_ON_WALL = 1e-6  # standard deviations of the prior
_UNSEEN = 1e-6  # of the largest weight, that masked pixels have in directions: they stay known
_ABSENT = 0.01  # of a spectrum that absent nodes make: more, and it is no star of the grid


@dataclass(frozen=True)
class Tolerance:
    """When to stop: by what the next step would gain of the objective, and by evaluations.

    near: directions are kept where a step gains less.
    """

    gain: float = 0.1
    near: float = 3.0
    evaluations: int = 40


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was found, by row.

    stars: (rows, 6) in the order of STARS. covariance: (rows, 6, 6). unknowns: (rows, n) all that
    were fitted, in units of their priors; spread: (rows, n, n) their covariance. spectra: (rows,
    pixels) float32, the noiseless flux as it is seen. errors: (rows, pixels) sigma of these that
    all unknowns leave, masked pixels included; (rows, 0) where not asked for. objective: chi² and
    priors; misfit: chi² alone. start_objective: of the star that was begun with, behind the dust
    and the calibration that suit it best. evaluations: spectra of the generator that were looked
    at. is_converged: no more than the tolerance is to be gained. is_on_wall: a parameter is at the
    end of what the generator knows. is_absent: nodes that the grid has not make much of it.
    is_blind: no pixel has weight, so that all is as expected beforehand.
    """

    stars: np.ndarray
    covariance: np.ndarray
    unknowns: np.ndarray
    spread: np.ndarray
    spectra: np.ndarray
    errors: np.ndarray
    objective: np.ndarray
    misfit: np.ndarray
    start_objective: np.ndarray
    evaluations: np.ndarray
    is_converged: np.ndarray
    is_on_wall: np.ndarray
    is_absent: np.ndarray
    is_blind: np.ndarray

    @property
    def is_sound(self) -> np.ndarray:
        """Return whether the answer is a star of the grid that pixels decided on, (rows,)."""
        return np.asarray(self.is_converged & ~self.is_absent & ~self.is_blind)


def fit_spectra(
    problem: Problem,
    flux: np.ndarray,
    variance: np.ndarray,
    start: np.ndarray,
    tolerance: Tolerance = Tolerance(),
    *,
    errors: bool = False,
) -> Fitted:
    """Return the most probable stars of noisy spectra, from given ones on.

    flux, variance: (rows, pixels); a variance that is not finite or not positive masks a pixel.
    start: (rows, 6) parameters in the order of STARS; what is not finite begins as expected. A row
    does not depend on the others, but for what rounding changes within the tolerance. Raises
    ValueError for shapes that do not fit.
    """
    shape = (len(start), problem.generator.pixels)
    if (flux.shape, variance.shape, start.shape) != (shape, shape, (len(start), len(STARS))):
        raise ValueError(
            f"flux {flux.shape}, variance {variance.shape} and start {start.shape} should be "
            f"(rows, {shape[1]}) twice and (rows, {len(STARS)})"
        )
    room = np.empty((_ROWS, problem.unknowns, shape[1]), np.float32)
    parts = []
    for first in range(0, max(len(start), 1), _ROWS):
        some = slice(first, first + _ROWS)
        data, unknowns = seen(flux[some], variance[some]), problem.unknowns_of(start[some])
        parts.append(_Descent(problem, data, unknowns, room).run(tolerance, errors))
    columns = zip(*([getattr(p, f.name) for f in fields(Fitted)] for p in parts), strict=True)
    return Fitted(*(np.concatenate(column) for column in columns))


class _Descent:
    """A few spectra on their way down: the best unknowns so far, and what is known there.

    directions: (rows, unknowns, pixels), of the last place where they were made.
    """

    def __init__(
        self, problem: Problem, data: Seen, unknowns: np.ndarray, room: np.ndarray
    ) -> None:
        rows, count = unknowns.shape
        self.problem, self.data, self.directions = problem, data, room
        largest = data.inverse_sigma.max(axis=1, keepdims=True, initial=np.float32(1.0))
        self.weights = np.maximum(data.inverse_sigma, np.float32(_UNSEEN) * largest)
        self.unknowns = unknowns
        self.information = np.repeat(np.eye(count)[np.newaxis], rows, axis=0)
        self.spectra, self.residual = np.full_like(data.noisy, np.nan), np.zeros_like(data.noisy)
        self.objective, self.misfit = np.full(rows, np.inf), np.full(rows, np.inf)
        self.damping = np.full(rows, _FIRST / _LESS)
        self.evaluations = np.zeros(rows, dtype=np.int64)
        self.is_converged, self.is_better = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
        self.low, self.high = np.full(count, -np.inf), np.full(count, np.inf)
        self.low[: len(STARS)], self.high[: len(STARS)] = problem.walls.T

    def run(self, tolerance: Tolerance, errors: bool) -> Fitted:
        """Go down until nothing is left to gain, and return what is there."""
        going = np.arange(len(self.unknowns))
        self._try(going, self.unknowns.copy(), is_sloped=True)
        self.start_objective = self.objective - self._gain_of_calibration()
        while len(going):
            step, gain = self._steps(going)
            is_last = (gain < tolerance.gain) & (self.damping[going] <= _TRUSTED)
            self.is_converged[going] = is_last
            is_sloped = (gain > tolerance.near) | ~self.is_better[going]
            for kind in (True, False):
                now = (is_sloped & ~is_last) == kind
                if now.any():
                    self._try(going[now], self.unknowns[going[now]] + step[now], kind)
            is_spent = self.evaluations[going] >= tolerance.evaluations
            going = going[~(is_last | is_spent | (self.damping[going] > _MOST))]
        return self._fitted(errors)

    def _gradient(self, rows: np.ndarray) -> np.ndarray:
        """Return half of what the objective falls by along each unknown, (rows, unknowns)."""
        along = np.empty((len(rows), self.unknowns.shape[1]))
        for place, row in enumerate(rows):
            along[place] = self.directions[row] @ self.residual[row]
        return np.asarray(along - self.unknowns[rows])

    def _gain_of_calibration(self) -> np.ndarray:
        """Return what the objective gains (rows,) where the star and its redshift stay."""
        free = slice(STARS.index("ebv"), None)
        gradient = self._gradient(np.arange(len(self.unknowns)))[:, free]
        step = np.linalg.solve(self.information[:, free, free], gradient[..., np.newaxis])
        return np.asarray((gradient * step[..., 0]).sum(axis=1))

    def _steps(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return steps (rows, unknowns) that stay within the walls, and what they should gain."""
        here, information = self.unknowns[rows], self.information[rows]
        gradient = self._gradient(rows)
        damped = information.copy()
        diagonal = np.einsum("nii->ni", damped)
        diagonal *= 1.0 + self.damping[rows, np.newaxis]
        step = _bounded_solution(damped, gradient, self.low - here, self.high - here)
        curved = np.einsum("ni,nij,nj->n", step, information, step)
        gain = 2.0 * (gradient * step).sum(axis=1) - curved
        is_lost = ~np.isfinite(gain)  # numbers so large that nothing can be told
        self.damping[rows[is_lost]] = np.inf
        return np.where(is_lost[:, np.newaxis], 0.0, step), np.where(is_lost, 0.0, gain)

    def _try(self, rows: np.ndarray, trial: np.ndarray, is_sloped: bool) -> None:
        """Look at trial unknowns of some rows, and go there where that is better."""
        some = self.data.rows(rows)
        looked, slopes = look(self.problem, some, trial, is_sloped)
        self.evaluations[rows] += 1
        is_better = looked.objective < self.objective[rows]
        self.is_better[rows] = is_better
        worse, better = rows[~is_better], rows[is_better]
        self.damping[worse] = np.maximum(self.damping[worse], _FIRST) * _MORE
        self.damping[better] = np.maximum(self.damping[better] * _LESS, _LEAST)
        self.unknowns[better] = trial[is_better]
        for name in ("spectra", "residual", "objective", "misfit"):
            getattr(self, name)[better] = getattr(looked, name)[is_better]
        if is_sloped and len(better):
            kept = Looked(*(part[is_better] for part in vars(looked).values()))
            weighted = Seen(some.noisy[is_better], self.weights[better])
            put_directions(
                self.problem, weighted, kept, slopes[is_better], better,
                self.directions,
            )  # fmt: skip
            for row in better:
                self.information[row] = self.directions[row] @ self.directions[row].T
                self.information[row].flat[:: self.problem.unknowns + 1] += 1.0

    def _errors(self, spread: np.ndarray) -> np.ndarray:
        """Return sigma (rows, pixels) of the spectra, by the last directions."""
        errors = np.empty_like(self.spectra)
        for row in range(len(errors)):
            root = np.linalg.cholesky(spread[row]).astype(np.float32)
            apart = root.T @ self.directions[row]
            errors[row] = np.sqrt(np.einsum("np,np->p", apart, apart)) / self.weights[row]
        return errors

    def _fitted(self, errors: bool) -> Fitted:
        problem, unknowns = self.problem, self.unknowns
        stars = problem.stars(unknowns)
        star = slice(0, len(STARS))
        spread = np.linalg.inv(self.information)
        on_wall = (unknowns <= self.low + _ON_WALL) | (unknowns >= self.high - _ON_WALL)
        return Fitted(
            stars=stars,
            covariance=spread[:, star, star] * problem.sigma * problem.sigma[:, np.newaxis],
            unknowns=unknowns,
            spread=spread,
            spectra=self.spectra,
            errors=self._errors(spread) if errors else self.spectra[:, :0],
            objective=self.objective,
            misfit=self.misfit,
            start_objective=self.start_objective,
            evaluations=self.evaluations,
            is_converged=self.is_converged,
            is_on_wall=np.any(on_wall[:, star][:, problem.sigma > 0.0], axis=1),
            is_absent=problem.generator.absent_share(stars) > _ABSENT,
            is_blind=np.logical_not(np.any(self.data.inverse_sigma > 0.0, axis=1)),
        )


def _bounded_solution(
    matrix: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return where right'x - x'matrix x / 2 is largest between walls, (rows, n).

    What would leave is held on its wall, and what is held there but would rather come back is let
    go, until nothing changes; the few that do not settle are cut to the walls.
    """
    held = np.zeros(right.shape)  # -1 and 1 where at the low and the high wall
    for _ in range(_HELD):
        at = np.where(held < 0, low, np.where(held > 0, high, 0.0))
        is_held = held != 0
        free = ~is_held
        reduced = matrix * (free[:, :, np.newaxis] & free[:, np.newaxis, :])
        np.einsum("nii->ni", reduced)[is_held] = 1.0
        rest = np.where(is_held, at, right - np.einsum("nij,nj->ni", matrix, at))
        step = np.asarray(np.linalg.solve(reduced, rest[..., np.newaxis])[..., 0])
        push = right - np.einsum("nij,nj->ni", matrix, step)
        to_low = (free & (step < low)) | ((held < 0) & (push < 0))
        to_high = (free & (step > high)) | ((held > 0) & (push > 0))
        before, held = held, to_high.astype(float) - to_low
        if np.array_equal(before, held):
            break
    return np.asarray(np.clip(step, low, high))
