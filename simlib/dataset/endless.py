"""The rows of a split and all that would follow its last: a training set without end.

A row follows from the seed, the split and its number alone, so the first rows are those that a
store holds, and no row of one split is one of another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.dataset.layout import VARIABLES, as_kept
from simlib.dataset.publish import published_dataset, require_split
from simlib.dataset.rows import Recipe, recipe_of
from simlib.location import Place

Exposures = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EndlessSplit:
    """Makes any row of a split of a published dataset.

    rows: those that belong to the dataset. pixels: of a spectrum.
    """

    recipe: Recipe
    split: str
    rows: int
    pixels: int

    def spectra(self, numbers: np.ndarray, exposures: Exposures | None = None) -> xr.Dataset:
        """Return the spectra of these rows, dim `spectrum`, in the variables and types of a store.

        numbers: whole, from 0 on, in any order. exposures: says from their S/N how many a row has,
        (rows,), where some have others than the dataset's; `snr` stays that of the dataset's.
        """
        made = self.recipe.observed(self.recipe.drawn_rows(self.split, numbers))
        if exposures is not None:
            counts = exposures(made["snr"].values)
            others = np.flatnonzero(counts != self.recipe.config.conditions.exposure_count)
            some = made.isel(spectrum=others)
            made["variance"].values[others] = self.recipe.variance(some, counts[others])
        kept = as_kept(made)
        return made.assign({name: made[name].copy(data=kept[name]) for name in VARIABLES})


def open_endless(place: Place, split: str = "train") -> EndlessSplit:
    """Return the maker of a split's rows, of a published dataset, whether stored or not.

    Raises InputError where there is none, or where this version cannot make its rows again.
    """
    folder, manifest = published_dataset(place)
    rows = require_split(folder, manifest, split)
    recipe, example = recipe_of(folder, manifest)
    return EndlessSplit(recipe, split, rows, example.sizes["wavelength"])
