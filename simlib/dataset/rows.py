"""The rows of a dataset, computed: what a worker, a virtual dataset and a replay have in common."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig, validate
from simlib.dataset.agreement import difference_from
from simlib.dataset.manifest import (
    Manifest,
    config_tables,
    dataset_fingerprint,
)
from simlib.dataset.plan import Block
from simlib.errors import InputError
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.store import is_published, open_terms_grid
from simlib.instrument import Instrument, load_instrument
from simlib.location import Location, Place
from simlib.parameters import draw_rows
from simlib.physics import PHYSICS_VERSION
from simlib.provenance import arithmetic
from simlib.simulation.simulate import simulate, stacked_variance
from simlib.stellar.grid import open_grid_kept


@dataclass(frozen=True)
class Recipe:
    """What makes any row: a config, and where the grid of terms is.

    It travels to where rows are made; the stellar grid and the terms are opened there.
    """

    config: SimulationConfig
    terms: Location

    @property
    def grid(self) -> xr.Dataset:
        """Return the stellar grid."""
        return grid_of(self.config)

    @property
    def named_terms(self) -> xr.Dataset | Instrument:
        """Return the terms, as `simulate` takes them."""
        return terms_named(self.config, self.terms)

    def drawn(self, split: str, start: int, stop: int) -> xr.Dataset:
        """Return the parameters of rows start … stop - 1."""
        return self.drawn_rows(split, np.arange(start, stop))

    def drawn_rows(self, split: str, rows: np.ndarray) -> xr.Dataset:
        """Return the parameters of rows given by number, in any order."""
        return draw_rows(self.config, self.grid, split, rows)

    def observed(self, parameters: xr.Dataset) -> xr.Dataset:
        """Return the spectra of rows with these parameters."""
        return simulate(parameters, self.grid, self.named_terms, self.config)

    def variance(self, spectra: xr.Dataset, counts: np.ndarray) -> np.ndarray:
        """Return the variance of such spectra, were they stacks of other numbers of exposures."""
        return stacked_variance(spectra, self.named_terms, self.config, counts)

    def rows(self, block: Block) -> xr.Dataset:
        """Return the spectra of a block's rows."""
        return self.observed(self.drawn(block.split, block.start, block.stop))


def grid_of(config: SimulationConfig) -> xr.Dataset:
    """Return the config's stellar grid, which a worker keeps open until it is replaced."""
    return open_grid_kept(config.grid)


def terms_named(config: SimulationConfig, location: Place) -> xr.Dataset | Instrument:
    """Return the terms that `simulate` takes; the stored grid where it is, else made again."""
    if config.terms.source == "direct":
        return load_instrument(config.instrument.name)
    place = Location.of(location, config.storage.options)
    if is_published(place):
        return _stored_terms(place)
    own = set(SimulationConfig.model_fields)  # without the sections of later layers
    return _made_terms(config.model_dump_json(include=own))


@lru_cache(maxsize=2)
def _stored_terms(place: Location) -> xr.Dataset:
    """Keep what a worker opened: what is published is never written again."""
    return open_terms_grid(place)


@lru_cache(maxsize=2)
def _made_terms(config: str) -> xr.Dataset:
    return build_terms_grid(SimulationConfig.model_validate_json(config))


def recipe_of(folder: Location, manifest: Manifest) -> tuple[Recipe, xr.Dataset]:
    """Return what makes a published dataset's rows again, and its first row, made by it.

    Raises InputError where this version or this stellar grid would make other spectra, and where
    the first row is not what it was: bit for bit where the arithmetic is the same, else to 1e-6.
    """
    config = validate(SimulationConfig, config_tables(manifest, folder))
    recipe = Recipe(config, folder.follow(manifest.terms))
    now = dataset_fingerprint(config, recipe.grid)
    if now != manifest.fingerprint:
        raise InputError(
            f"{folder} was made with physics version {manifest.physics_version} and other "
            f"inputs (fingerprint {manifest.fingerprint}); this version ({PHYSICS_VERSION}) and "
            f"the stellar grid {config.stellar.grid!r} would make {now}; its rows cannot be made "
            "again here. Read what is stored, or build the dataset again"
        )
    example = recipe.rows(Block("train", 0, 1))
    known = manifest.plan.first_row
    if off := difference_from(known, example):
        raise InputError(
            f"{folder} was made by {known.arithmetic}; its first row made here, by "
            f"{arithmetic()}, differs by {off:.2g} (relative); its rows cannot be made again "
            "here. Read what is stored, or build the dataset again"
        )
    return recipe, example
