"""The simulator's noiseless flux as a smooth function of what a star is, with its derivatives.

The compiled simulation has every node of the grid behind the instrument's lines, at rest. Splined
spectra are linear in these, so a few hundred principal curves of the nodes serve for any star:
weights of nodes, times shares of curves in nodes, times the curves, then the simulator's own loop
that looks at a curve from the observed frame. No line is convolved again.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.config import LARGEST_EBV, SimulationConfig
from simlib.etc.terms_dataset import line_terms
from simlib.fit.kernels import look_rows
from simlib.instrument import Instrument
from simlib.kept import kept_arrays
from simlib.parameters import AXES
from simlib.simulation.compiled.batch import centred, window_pixels
from simlib.simulation.compiled.nodes import KINDS
from simlib.simulation.compiled.setup_cache import setup_identity, templates_for
from simlib.simulation.compiled.templates import Templates, box_excess, shift_powers
from simlib.simulation.line_spread import line_spread_of
from simlib.stellar.spline import spline_slopes, spline_weights
from simlib.units import LN_PER_MAGNITUDE

STARS = (*AXES, "redshift", "ebv")  # the parameters of a star's spectrum, in this order
_VERSION = 1  # of how the curves are made
_RANK = 224  # principal curves, at most
_SLOPE_RANK = 144  # of these, for derivatives, which need less
_STEP = 6e-6  # half width of the difference for the redshift: a tenth of a pixel


@dataclass(frozen=True, eq=False)
class Generator:
    """Spectra of any stars (rows, 6), in the order of STARS.

    axes: values of each axis of the grid. present: which nodes are there. shares: (nodes, rank) of
    the curves (rank, powers of redshift, points). window, median: of the normalisation.
    """

    axes: tuple[np.ndarray, ...]
    present: np.ndarray
    shares: np.ndarray
    curves: np.ndarray
    templates: Templates
    window: tuple[int, int]
    median: float

    @property
    def pixels(self) -> int:
        """Return the number of pixels of a spectrum."""
        return len(self.templates.wavelength)

    @property
    def limits(self) -> np.ndarray:
        """Return the lowest and highest of each parameter, (6, 2), beyond which there is none."""
        ends = [(nodes[0], nodes[-1]) for nodes in self.axes]
        return np.array([*ends, self.templates.redshift, (0.0, LARGEST_EBV)])

    def look(self, stars: np.ndarray, is_sloped: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return normalised flux (rows, pixels) and its derivatives by each parameter, float32.

        stars: (rows, 6) within the limits. Without slopes these are (rows, 0, pixels), and it takes
        a quarter of the time. A row is the same whatever is beside it, but for rounding.
        """
        told = self.templates
        redshift, ebv = stars[:, len(AXES)], stars[:, len(AXES) + 1]
        start, pitch = told.rest
        around = redshift[:, np.newaxis] + np.array([0.0, -_STEP, _STEP])
        first = (told.wavelength[0] / (1.0 + around) - start) / pitch
        curve, _, largest = centred(told.curve)
        flux = np.empty((len(stars), self.pixels), np.float32)
        slopes = np.empty((len(stars), len(STARS) if is_sloped else 0, self.pixels), np.float32)
        look_rows(
            self._curves_of(stars, is_sloped), first, redshift, _STEP, ebv / (1.0 + redshift),
            box_excess(told, 1.0 + redshift), np.arange(self.pixels, dtype=np.float32),
            told.widening, told.displacement, curve, largest, LN_PER_MAGNITUDE, ebv,
            np.array(self.window), self.median, flux, slopes,
        )  # fmt: skip
        return flux, slopes

    def absent_share(self, stars: np.ndarray) -> np.ndarray:
        """Return how much of each spectrum (rows,) is of nodes that are not in the grid."""
        if self.present.all():
            return np.zeros(len(stars))
        weights = self._node_weights(stars, is_sloped=False)[:, 0]
        return np.asarray(np.abs(weights[:, ~self.present.ravel()]).sum(axis=1))

    def _curves_of(self, stars: np.ndarray, is_sloped: bool) -> np.ndarray:
        """Return (rows, 1 or 5, points): the stars at rest, and their slopes along the axes."""
        weights = self._node_weights(stars, is_sloped)
        curves = np.empty((*weights.shape[:2], self.curves.shape[-1]), np.float32)
        for kinds, rank in ((slice(0, 1), None), (slice(1, None), _SLOPE_RANK)):
            some = weights[:, kinds]
            if some.size:
                mixed = some.reshape(-1, self.present.size) @ self.shares[:, :rank]
                curves[:, kinds] = self._mixed(mixed, stars, some.shape[1])
        return curves

    def _mixed(self, shares: np.ndarray, stars: np.ndarray, kinds: int) -> np.ndarray:
        """Return (stars, kinds, points) of shares (stars x kinds, rank) of the leading curves."""
        leading = self.curves[: shares.shape[1]]
        rank, powers, points = leading.shape
        mixed = shares @ leading.reshape(rank, powers * points)
        mixed = mixed.reshape(len(stars), kinds, powers, points)
        if powers == 1:
            return np.asarray(mixed[:, :, 0])
        share = shift_powers(self.templates.shifts, stars[:, len(AXES)]).astype(np.float32)
        return np.asarray(np.einsum("nkpx,np->nkx", mixed, share))

    def _node_weights(self, stars: np.ndarray, is_sloped: bool) -> np.ndarray:
        """Return (rows, 1 or 5, nodes) float32: of the spectrum, and of its slopes."""
        values = [
            spline_weights(nodes, stars[:, number], name)
            for number, (name, nodes) in enumerate(zip(AXES, self.axes, strict=True))
        ]
        sets = [values]
        for number, nodes in enumerate(self.axes if is_sloped else ()):
            sets.append(list(values))
            sets[-1][number] = spline_slopes(nodes, stars[:, number])
        pairs = [
            np.stack([np.einsum("na,nb->nab", *some[at : at + 2]) for some in sets], axis=1)
            for at in (0, 2)
        ]
        first, last = (pair.astype(np.float32) for pair in pairs)
        product = np.einsum("nkab,nkcd->nkabcd", first, last)
        return np.asarray(product).reshape(*product.shape[:2], self.present.size)


def generator_of(
    grid: xr.Dataset, terms: xr.Dataset | Instrument, config: SimulationConfig
) -> Generator:
    """Return the generator of what `simulate` makes of a grid, terms and a config.

    A node that is not in the grid is filled from its neighbours, so that a fit may pass there:
    `Generator.absent_share` tells. Raises InputError for what cannot be simulated.
    """
    if isinstance(terms, Instrument):
        terms = line_terms(terms, config.instrument.lsf)
    spread = line_spread_of(terms, float(grid.attrs["resolution"]))
    templates = templates_for(grid, spread, config.stellar)
    present = grid["present"].transpose(*AXES).values
    name = f"{setup_identity(grid, spread, config.stellar)}-curves-{_RANK}-{_VERSION}"
    kept = kept_arrays("templates", name, lambda: principal_curves(templates, present))
    return Generator(
        axes=tuple(grid[name].values.astype(float) for name in AXES),
        present=present,
        **kept,
        templates=templates,
        window=window_pixels(templates.wavelength, config.normalize),
        median=config.normalize.median,
    )


def principal_curves(templates: Templates, present: np.ndarray) -> dict[str, np.ndarray]:
    """Return `shares` (nodes, rank) and `curves` (rank, powers, points), float32.

    Nodes count alike, however bright.
    """
    powers, nodes = len(templates.shifts), present.size
    table = templates.coefficients.reshape(powers, KINDS, nodes, -1)[:, 0]
    there = np.flatnonzero(present)
    kept = np.concatenate(list(table[:, there]), axis=1)
    points = table.shape[-1]
    bright = np.abs(kept[:, :points]).mean(axis=1, dtype=float)
    kept = kept / bright[:, np.newaxis].astype(np.float32)
    every_other = kept[:, : points // 2].astype(float)  # in float32 the weak curves would be lost
    _, vectors = np.linalg.eigh(every_other @ every_other.T)
    leading = vectors[:, : -_RANK - 1 : -1]
    curves = leading.T.astype(np.float32) @ kept
    shares = np.zeros((nodes, leading.shape[1]))
    shares[there] = leading * bright[:, np.newaxis]
    filled = _filled(shares.reshape(*present.shape, -1), present)
    return {
        "shares": filled.reshape(nodes, -1).astype(np.float32),
        "curves": curves.reshape(-1, powers, points),
    }


def _filled(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return values (axes …, n) with those of absent nodes made from their neighbours.

    Next to the present ones first: the mean of what lines through two of them, or one alone, say.
    """
    values, present = values.copy(), present.copy()
    while not present.all():
        total = np.zeros_like(values)
        count = np.zeros(present.shape)
        for axis in range(present.ndim):
            for forward in (1, -1):
                one, two = (_moved(present, axis, forward * n) for n in (1, 2))
                near, far = (_moved(values, axis, forward * n) for n in (1, 2))
                is_line = one & two
                total += np.where(is_line[..., np.newaxis], 2.0 * near - far, 0.0)
                count += is_line
        if not (count[~present] > 0).any():  # no line anywhere: the neighbour itself
            for axis in range(present.ndim):
                for forward in (1, -1):
                    one = _moved(present, axis, forward)
                    total += np.where(one[..., np.newaxis], _moved(values, axis, forward), 0.0)
                    count += one
        new = ~present & (count > 0)
        values[new] = total[new] / count[new][:, np.newaxis]
        present |= new
    return values


def _moved(values: np.ndarray, axis: int, by: int) -> np.ndarray:
    """Return what lies `by` places on along an axis; nothing beyond the ends."""
    moved = np.zeros_like(values)
    there, here = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    there[axis] = slice(by, None) if by > 0 else slice(None, by)
    here[axis] = slice(None, -by) if by > 0 else slice(-by, None)
    moved[tuple(here)] = values[tuple(there)]
    return moved
