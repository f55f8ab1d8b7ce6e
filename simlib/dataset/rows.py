"""The rows of a dataset, computed: what a worker, a virtual dataset and a replay have in common."""

from functools import lru_cache

import xarray as xr

from simlib.config import SimulationConfig, validate
from simlib.dataset.manifest import PHYSICS_VERSION, dataset_fingerprint
from simlib.dataset.plan import Block
from simlib.errors import InputError
from simlib.etc.grid import build_terms_grid, is_published, open_terms_grid
from simlib.instrument import Instrument, load_instrument
from simlib.location import Location, Place
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar.grid import open_grid
from simlib.storage import Options, join, read_json


def simulate_rows(
    config: SimulationConfig, grid: xr.Dataset, terms: Place, block: Block
) -> xr.Dataset:
    """Return the spectra of a block's rows. terms: location of the stored grid of terms."""
    parameters = draw_parameters(config, grid, block.split, block.start, block.stop)
    return simulate(parameters, grid, terms_named(config, terms), config)


@lru_cache(maxsize=2)
def grid_named(name: str) -> xr.Dataset:
    """Return a stellar grid; a worker keeps what it opened."""
    return open_grid(name)


def terms_named(config: SimulationConfig, location: Place) -> xr.Dataset | Instrument:
    """Return the terms that `simulate` takes; the stored grid where it is, else made again."""
    if config.terms.source == "direct":
        return load_instrument(config.instrument.name)
    place = Location.of(location, config.storage.options)
    return _stored_terms(place) if is_published(place) else _made_terms(config.model_dump_json())


@lru_cache(maxsize=2)
def _stored_terms(place: Location) -> xr.Dataset:
    """Keep what a worker opened: what is published is never written again."""
    return open_terms_grid(place)


@lru_cache(maxsize=2)
def _made_terms(config: str) -> xr.Dataset:
    return build_terms_grid(SimulationConfig.model_validate_json(config))


def recipe_of(folder: str, options: Options | None = None) -> tuple[SimulationConfig, str]:
    """Return the config of a published dataset and the location of its terms.

    Raises InputError where this version or this stellar grid would make other spectra.
    """
    manifest = read_json(join(folder, "manifest.json"), options)
    tables = {k: v for k, v in manifest["config"].items() if k in SimulationConfig.model_fields}
    tables["storage"] = tables["storage"] | {"options": options or {}}
    config = validate(SimulationConfig, tables)
    now = dataset_fingerprint(config, grid_named(config.stellar.grid))
    if now != manifest["fingerprint"]:
        raise InputError(
            f"{folder} was made with physics version {manifest['physics_version']} and other "
            f"inputs (fingerprint {manifest['fingerprint']}); this version ({PHYSICS_VERSION}) and "
            f"the stellar grid {config.stellar.grid!r} would make {now}; its rows cannot be made "
            "again here. Read what is stored, or build the dataset again"
        )
    return config, manifest["terms"]
