"""Stars at rest behind the instrument's lines, on an even axis of whole pixels with margins.

What the compiled simulation prepares of every node, read off at its points: a spectrum at another
redshift is the same curve at other places, but for the width of lines, which belongs to the
observed frame (0.003 % of the flux).
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.sparse import csr_array

from simlib.config import SimulationConfig
from simlib.instrument import Instrument
from simlib.parameters import draw_parameters
from simlib.simulation.compiled.nodes import KINDS, table_rows
from simlib.simulation.compiled.setup_cache import templates_for
from simlib.simulation.compiled.taps import PAIRS, tap_weights
from simlib.simulation.compiled.templates import Templates
from simlib.simulation.line_spread import line_spread_of
from simlib.simulation.simulate import terms_at


@dataclass(frozen=True, eq=False)
class RestSpectra:
    """Of all nodes of a grid, (rows, points) float32, with the derivatives that splines need.

    wavelength: (points,) at rest, nm, as far apart as pixels. The scale of a spectrum is arbitrary.
    """

    wavelength: np.ndarray
    table: np.ndarray
    grid: xr.Dataset

    def mixture(self, parameters: xr.Dataset) -> csr_array:
        """Return (spectra, rows) float32: times the table, the spectra of these parameters.

        parameters: as `simulate` takes them. Raises InputError for what is not in the grid.
        """
        numbers, weights = table_rows(self.grid, parameters)
        count = len(numbers)
        columns = numbers.reshape(count, -1)
        begin = np.arange(count + 1) * columns.shape[1]
        shares = weights.astype(np.float32).ravel()
        return csr_array((shares, columns.ravel(), begin), shape=(count, len(self.table)))


def rest_spectra(
    grid: xr.Dataset, terms: xr.Dataset | Instrument, config: SimulationConfig
) -> RestSpectra:
    """Return the nodes as they are seen at rest; grid, terms, config: as `simulate` takes them.

    The margins hold all that redshifts of `stellar.redshift` move into the arm, and some pixels
    more.
    """
    if isinstance(terms, Instrument):
        terms = terms_at(draw_parameters(config, grid, "train", 0, 1), terms, config)
    spread = line_spread_of(terms, float(grid.attrs["resolution"]))
    templates = templates_for(grid, spread, config.stellar)
    start, pitch = templates.rest
    table = _at_whole_points(templates)
    wavelength = start + 2.0 * pitch * np.arange(table.shape[1])
    return RestSpectra(wavelength, table, grid)


def _at_whole_points(templates: Templates) -> np.ndarray:
    """Return the nodes' values at every other point of the templates' axis, at no Doppler shift."""
    rows = len(templates.coefficients) // len(templates.shifts)  # the others go with the shift
    assert rows % KINDS == 0
    even, odd = np.split(templates.coefficients[:rows], 2, axis=1)
    itself, next_to, after = tap_weights(0.5)[PAIRS:].astype(np.float32)
    values = itself * even + next_to * odd
    values[:, 1:] += next_to * odd[:, :-1] + after * even[:, :-1]
    values[:, :-1] += after * even[:, 1:]
    return np.asarray(values)
