"""Simulated spectra of a person's own targets as files: a Zarr store, or `pfsObject` files."""

from functools import partial
from pathlib import Path

import xarray as xr

from simlib.artifact import publishing
from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.location import Location
from simlib.simulation.pfs_object import write_pfs_objects
from simlib.simulation.targets import terms_of_targets

FORMATS = ("zarr", "pfs")


def check_output(out: str | Path, form: str) -> None:
    """Raise InputError unless spectra may be written there in that form."""
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
    if Location.of(out).path.exists():
        raise InputError(f"{out} exists; name another place with --out, or remove it")


def write_spectra(
    spectra: xr.Dataset, out: str | Path, form: str, config: SimulationConfig
) -> None:
    """Write what `simulate_targets` returned, whole or not at all.

    Raises InputError where something is at `out`, however late it came.
    """
    if form == "pfs":
        terms_of = partial(terms_of_targets, config=config)
        write_pfs_objects(spectra, terms_of, config, Path(out))
        return
    with publishing(Location.of(out)) as store:
        spectra.to_zarr(store.path, zarr_format=3, consolidated=False)


def summaries(spectra: xr.Dataset) -> list[dict[str, float]]:
    """Return a few numbers of each row."""
    names = ("teff", "magnitude", "flux_scale", "snr")
    return [
        {name: float(spectra[name][row]) for name in names}
        for row in range(spectra.sizes["spectrum"])
    ]
