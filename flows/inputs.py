"""The files and folders that a config names and the work reads."""

from contextlib import suppress

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.instrument import files_of
from simlib.location import Location

# of a folder; the root of a grid's store holds the checksum of all that is in it
_ENDINGS = (".csv", "zarr.json")


def inputs_of(config: SimulationConfig) -> dict[str, Location]:
    """Return the files and folders that a config names and the work reads."""
    named = {
        "stellar.grid": config.stellar.grid,
        "stellar.band": config.stellar.band,
        "sky.tables": config.sky.tables,
        "instrument.name": config.instrument.name,
    }
    return {name: config.place(path) for name, path in named.items() if path and "/" in path}


def files_in(config: SimulationConfig) -> dict[str, list[Location]]:
    """Return the files of each such place, by what the config says: `sky.tables = /tables`.

    Of a place without files the place itself.
    """
    named = inputs_of(config).items()
    return {f"{name} = {place}": _files(name, place) for name, place in named}


def _files(name: str, place: Location) -> list[Location]:
    inside = [place / one for one in place.names() if one.endswith(_ENDINGS)]
    if name == "instrument.name" and place.is_local:
        with suppress(InputError):  # a damaged one is still a file
            inside = [Location.of(path) for path in files_of(place.path)]
    return inside or [place]
