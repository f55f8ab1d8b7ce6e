"""A dataset whose spectra are computed when they are looked at, instead of read.

To compute a row costs less than to read it back; its values are those of the stored row, bit for
bit.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from simlib.config import SimulationConfig
from simlib.dataset.plan import Block
from simlib.dataset.rows import recipe_of, simulate_rows
from simlib.dataset.store import PIXEL_VARIABLES, ROW_VARIABLES, dtype_of, published_folder
from simlib.parameters import draw_parameters
from simlib.stellar.grid import open_grid_kept
from simlib.storage import Options, join, read_json

_COMPUTED = (*PIXEL_VARIABLES, "snr", "flux_scale")
_ROWS_AT_ONCE = 256
_BLOCKS_KEPT = 8  # of both pixel variables: reading flux and then variance computes once


def open_virtual(folder: str, split: str, options: Options | None = None) -> xr.Dataset:
    """Return a split of a published dataset, its spectra computed on access.

    Same variables, types, attributes and bits as `open_dataset` reads. Raises InputError where
    this version cannot make the dataset's rows again.
    """
    place = published_folder(folder, options)
    config, terms = recipe_of(place, options)
    rows = int(read_json(join(place, "parts", "plan.json"), options)["rows"][split])
    grid = open_grid_kept(config.grid)
    maker = _Maker(config, terms, split, rows)
    example = maker.block(0).isel(spectrum=slice(0, 1))
    drawn = draw_parameters(config, grid, split, 0, rows)
    variables: dict[str, Any] = {}
    for name in (*PIXEL_VARIABLES, *ROW_VARIABLES):
        attrs, dims = example[name].attrs, example[name].dims
        if name in _COMPUTED:
            shape = (rows, *example[name].shape[1:])
            lazy = indexing.LazilyIndexedArray(_Computed(maker, name, shape))
            variables[name] = xr.Variable(dims, lazy, attrs)
        else:
            variables[name] = xr.Variable(dims, drawn[name].values.astype(dtype_of(name)), attrs)
    return xr.Dataset(variables, coords={"wavelength": example["wavelength"]})


@dataclass(frozen=True, eq=False)
class _Maker:
    """Computes blocks of one split, and keeps the last few."""

    config: SimulationConfig
    terms: str
    split: str
    rows: int

    def __post_init__(self) -> None:
        """Give each dataset a memory of its own."""
        object.__setattr__(self, "block", lru_cache(maxsize=_BLOCKS_KEPT)(self.block))

    def block(self, number: int) -> xr.Dataset:
        """Return the rows number x 256 and on."""
        start = number * _ROWS_AT_ONCE
        rows = Block(self.split, start, min(start + _ROWS_AT_ONCE, self.rows))
        return simulate_rows(self.config, open_grid_kept(self.config.grid), self.terms, rows)


class _Computed(BackendArray):
    """One variable, as xarray indexes it."""

    def __init__(self, maker: _Maker, name: str, shape: tuple[int, ...]) -> None:
        self.maker, self.name, self.shape = maker, name, shape
        self.dtype = dtype_of(name)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Compute what the key asks for."""
        basic = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, basic, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        wanted = np.arange(self.shape[0])[key[0]]
        rows = np.atleast_1d(wanted)
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        for number in np.unique(rows // _ROWS_AT_ONCE):
            here = np.flatnonzero(rows // _ROWS_AT_ONCE == number)
            values = self.maker.block(int(number))[self.name].values
            out[here] = values[rows[here] - number * _ROWS_AT_ONCE]
        chosen = out if wanted.ndim else out[0]
        return np.asarray(chosen[..., key[1]] if len(key) > 1 else chosen)
