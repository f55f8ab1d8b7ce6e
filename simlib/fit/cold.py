"""Where a fit begins that knows nothing: the best of a coarse grid of templates at every shift.

The templates are published by a rule: every other node of Teff, log g and [M/H], the middle one of
[alpha/M], reddened as expected; the shifts are a pixel apart over the range of redshifts. Each is
compared with a spectrum after the best straight line that multiplies it, and a parabola through the
best shift and its neighbours gives the redshift.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from simlib.fit.generator import STARS
from simlib.fit.problem import Problem, seen
from simlib.parameters import AXES

_ROWS = 64  # of the bank that are made, and of spectra that are compared, at a time
_TINY = 1e-12
_SLOPE = 1e-3  # of a line's information: where a single pixel is seen, there is no line


@dataclass(frozen=True, eq=False)
class Library:
    """Templates at all shifts, (templates x shifts, pixels) float32, and their parameters.

    stars: (templates, 6) in the order of STARS, at redshift 0. shifts: (shifts,).
    """

    bank: np.ndarray
    squares: np.ndarray
    stars: np.ndarray
    shifts: np.ndarray

    @property
    def evaluations(self) -> int:
        """Return how many spectra one is compared with."""
        return len(self.bank)


def coarse_library(problem: Problem) -> Library:
    """Return the library of a problem's generator; nodes that are not in its grid are left out."""
    made = problem.generator
    axes = [np.arange(len(nodes))[::2] for nodes in made.axes[:-1]]
    nodes = np.array(list(product(*axes, [len(made.axes[-1]) // 2])))
    nodes = nodes[made.present[tuple(nodes.T)]]
    stars = np.zeros((len(nodes), len(STARS)))
    for number, values in enumerate(made.axes):
        stars[:, number] = values[nodes[:, number]]
    stars[:, -1] = problem.expected[-1]
    shifts = _shifts(made.templates.wavelength, made.limits[len(AXES)])
    each = np.repeat(stars, len(shifts), axis=0)
    each[:, len(AXES)] = np.tile(shifts, len(stars))
    bank = np.concatenate([
        made.look(each[n : n + _ROWS], is_sloped=False)[0] for n in range(0, len(each), _ROWS)
    ])  # fmt: skip
    return Library(bank, np.square(bank), stars, shifts)


def _shifts(wavelength: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return redshifts a pixel apart, of the middle of the arm, that reach the limits."""
    pixel = (wavelength[-1] - wavelength[0]) / (len(wavelength) - 1) / wavelength.mean()
    count = int(np.ceil(np.ptp(limits) / pixel)) + 1
    return np.linspace(limits[0], limits[1], max(count, 3)) if np.ptp(limits) else limits[:1]


def cold_start(library: Library, flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return (rows, 6) parameters of the best templates; flux, variance: as `fit_spectra`."""
    parts = [
        _best(library, flux[n : n + _ROWS], variance[n : n + _ROWS])
        for n in range(0, max(len(flux), 1), _ROWS)
    ]
    return np.concatenate(parts)


def _best(library: Library, flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
    gain = _explained(library, flux, variance)
    rows = np.arange(len(flux))
    template, shift = np.divmod(gain.argmax(axis=1), len(library.shifts))
    gain = gain.reshape(len(flux), len(library.stars), len(library.shifts))
    stars = library.stars[template].copy()
    stars[:, len(AXES)] = library.shifts[shift]
    if len(library.shifts) > 2:
        middle = np.clip(shift, 1, len(library.shifts) - 2)
        before, here, behind = (gain[rows, template, middle + n] for n in (-1, 0, 1))
        bend = np.maximum(2.0 * here - before - behind, _TINY)
        offset = np.clip(0.5 * (behind - before) / bend, -1.0, 1.0)
        pitch = library.shifts[1] - library.shifts[0]
        stars[:, len(AXES)] = library.shifts[middle] + offset * pitch
    return stars


def _explained(library: Library, flux: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return (rows, templates x shifts): chi² that a template times a straight line takes away."""
    data = seen(flux, variance)
    weight = np.square(data.inverse_sigma)
    along = np.linspace(-1.0, 1.0, flux.shape[1], dtype=np.float32)
    values = weight * data.noisy
    of_flux, of_slope = (some @ library.bank.T for some in (values, values * along))
    flat, mixed, sloped = (
        (weight * power).astype(np.float32) @ library.squares.T
        for power in (np.ones_like(along), along, np.square(along))
    )
    flat, mixed = flat.astype(float) + _TINY, mixed.astype(float)
    # first the level, then what of the slope is not in it
    level = np.square(of_flux.astype(float)) / flat
    left = sloped - mixed * mixed / flat
    rest = of_slope - of_flux * mixed / flat
    return np.asarray(level + np.where(left > _SLOPE * sloped, rest * rest / (left + _TINY), 0.0))
