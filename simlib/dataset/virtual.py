"""A dataset whose spectra are computed when they are looked at, instead of read.

To compute a row costs less than to read it back. Opening one makes its first row and no other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from simlib.dataset.layout import PIXEL_VARIABLES, VARIABLES, dtype_of
from simlib.dataset.manifest import Manifest
from simlib.dataset.plan import Block, rows_of
from simlib.dataset.publish import require_split
from simlib.dataset.rows import Recipe, recipe_of
from simlib.location import Location

_COMPUTED = (*PIXEL_VARIABLES, "snr", "flux_scale")
_SPECTRA_AT_ONCE = 256
_DRAWS_AT_ONCE = 2**16
_KEPT = 8  # parts, of all variables: reading flux and then variance computes once


def open_virtual(folder: Location, manifest: Manifest, split: str) -> xr.Dataset:
    """Return a split of a published dataset, its rows made on access.

    Same variables, types, attributes and values as `open_stored` reads. Raises InputError where
    this version cannot make the dataset's rows again.
    """
    recipe, example = recipe_of(folder, manifest)
    maker = _Maker(recipe, split, require_split(folder, manifest, split))
    variables = {}
    for name in VARIABLES:
        array = _Computed(maker, name, (maker.count, *example[name].shape[1:]))
        lazy = indexing.LazilyIndexedArray(array)
        variables[name] = xr.Variable(example[name].dims, lazy, example[name].attrs)
    return xr.Dataset(variables, coords={"wavelength": example["wavelength"]})


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes parts of one split, and keeps the last few; `count` rows in all."""

    recipe: Recipe
    split: str
    count: int

    def __post_init__(self) -> None:
        """Give each dataset a memory of its own."""
        object.__setattr__(self, "spectra", lru_cache(_KEPT)(self.spectra))
        object.__setattr__(self, "draws", lru_cache(_KEPT)(self.draws))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what is kept."""
        return type(self), (self.recipe, self.split, self.count)

    def spectra(self, number: int) -> xr.Dataset:
        """Return the spectra of the rows number x 256 and on."""
        return self.recipe.rows(self._block(number, _SPECTRA_AT_ONCE))

    def draws(self, number: int) -> xr.Dataset:
        """Return the parameters of the rows number x 65,536 and on."""
        block = self._block(number, _DRAWS_AT_ONCE)
        return self.recipe.drawn(block.split, block.start, block.stop)

    def _block(self, number: int, size: int) -> Block:
        return Block(self.split, number * size, min((number + 1) * size, self.count))


class _Computed(BackendArray):
    """One variable, as xarray indexes it."""

    def __init__(self, maker: _Maker, name: str, shape: tuple[int, ...]) -> None:
        self.maker, self.name, self.shape = maker, name, shape
        self.dtype = dtype_of(name)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Compute what the key asks for."""
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        is_computed = self.name in _COMPUTED
        size = _SPECTRA_AT_ONCE if is_computed else _DRAWS_AT_ONCE
        part: Callable[[int], xr.Dataset] = self.maker.spectra if is_computed else self.maker.draws
        wanted = rows_of(key[0], self.shape[0])
        rows = np.atleast_1d(wanted)
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        for number in np.unique(rows // size):
            here = np.flatnonzero(rows // size == number)
            out[here] = part(int(number))[self.name].values[rows[here] - number * size]
        chosen = out if wanted.ndim else out[0]
        return np.asarray(chosen[..., key[1]] if len(key) > 1 else chosen)
