"""The rows of a split and all that would follow its last: a training set without end.

A row follows from the seed, the split and its number alone, so the first rows are those that a
store holds, bit for bit, and no row of one split is one of another.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig
from simlib.dataset.rows import recipe_of, terms_named
from simlib.dataset.store import PIXEL_VARIABLES, ROW_VARIABLES, dtype_of, published_folder
from simlib.errors import InputError
from simlib.instrument import Instrument
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar.grid import open_grid_kept
from simlib.storage import Options, join, read_json


@dataclass(frozen=True)
class EndlessSplit:
    """Makes any row of a split of a published dataset. rows: those that belong to the dataset."""

    config: SimulationConfig
    grid: xr.Dataset
    terms: xr.Dataset | Instrument
    split: str
    rows: int

    @property
    def pixels(self) -> int:
        """Return the pixels of a spectrum."""
        return len(np.asarray(self.terms.wavelength))

    def spectra(self, numbers: np.ndarray) -> xr.Dataset:
        """Return the spectra of these rows, dim `spectrum`, in the variables and types of a store.

        numbers: whole, from 0 on, in any order. All parameters between the least and the largest
        are drawn, at less than 1 us each; only the rows asked for are simulated.
        """
        first, stop = (int(numbers.min()), int(numbers.max()) + 1) if len(numbers) else (0, 0)
        drawn = draw_parameters(self.config, self.grid, self.split, first, stop)
        made = simulate(drawn.isel(spectrum=numbers - first), self.grid, self.terms, self.config)
        names = (*PIXEL_VARIABLES, *ROW_VARIABLES)
        kept = {name: made[name].astype(dtype_of(name), copy=False) for name in names}
        return made.assign(kept)


def open_endless(folder: str, split: str = "train", options: Options | None = None) -> EndlessSplit:
    """Return the maker of a split's rows, of a published dataset, whether stored or not.

    Raises InputError where there is none, or where this version cannot make its rows again.
    """
    place = published_folder(folder, options)
    rows = read_json(join(place, "parts", "plan.json"), options)["rows"]
    if split not in rows:
        raise InputError(f"{place} has no split {split!r}; it has {', '.join(rows)}")
    config, terms = recipe_of(place, options)
    grid = open_grid_kept(config.grid)
    return EndlessSplit(config, grid, terms_named(config, terms), split, int(rows[split]))
