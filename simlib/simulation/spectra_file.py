"""Simulated spectra of a person's own targets as files: the suffix of a name is its format.

`.fits` is the survey's bundle; a folder of the survey's files of one star each is asked for by
name, `pfs`.
"""

from functools import partial
from pathlib import Path

import xarray as xr

from simlib.artifact import publishing
from simlib.config import SimulationConfig
from simlib.dataset_file import SUFFIXES, check_suffix, write_dataset
from simlib.errors import InputError, shown
from simlib.location import Location
from simlib.simulation.pfs_coadd import refuse_too_many, write_pfs_coadd
from simlib.simulation.pfs_object import write_pfs_objects
from simlib.simulation.pfs_parts import in_the_list_alone, refuse_unlike_the_survey
from simlib.simulation.targets import terms_of_targets

PFS = "pfs"  # a folder of pfsObject files
BUNDLE = ".fits"


def check_output(out: str | Path | None, form: str | None) -> Path:
    """Return where to write; InputError unless spectra may be written there in that form."""
    if out is None:
        raise InputError("say where to write with --out, for example --out stars.fits")
    if form not in (None, PFS):
        raise InputError(
            f"unknown format {form!r}; known: {PFS} (a folder of files); of all else the end of "
            f"--out tells it: {', '.join(SUFFIXES)}"
        )
    if form == PFS and Path(out).suffix in SUFFIXES:
        raise InputError(
            f"--out {shown(str(out))} has the name of a {Path(out).suffix} file, but --format pfs "
            "writes a folder; choose another name, or leave out --format (.fits: all stars in one)"
        )
    path = Path(out) if form == PFS else check_suffix(out)
    if Location.of(out).path.exists():
        raise InputError(f"{out} exists; name another place with --out, or remove it")
    return path


def check_targets(
    targets: xr.Dataset, out: Path, form: str | None, config: SimulationConfig
) -> list[str]:
    """Return what a person should know of targets in that format, before they are simulated.

    Raises InputError for what it cannot hold.
    """
    if form != PFS and out.suffix != BUNDLE:
        return []
    refuse_unlike_the_survey(targets, config)
    if form != PFS:
        refuse_too_many(targets)
    return [
        f"{name} is no whole number, as the survey's is: it stands in the extension LIST"
        for name in in_the_list_alone(targets)
    ]


def write_spectra(
    spectra: xr.Dataset, out: str | Path, form: str | None, config: SimulationConfig
) -> None:
    """Write what `simulate_targets` returned, whole or not at all.

    Raises InputError where something is at `out`, however late it came.
    """
    path = Path(out)
    terms_of = partial(terms_of_targets, config=config)
    if form == PFS:
        write_pfs_objects(spectra, terms_of, config, path)
        return
    with publishing(Location.of(out)) as beside:
        if path.suffix == BUNDLE:
            write_pfs_coadd(spectra, terms_of, config, beside.path)
        else:
            write_dataset(spectra, beside.path, path.suffix)


def summaries(spectra: xr.Dataset) -> list[dict[str, float | str]]:
    """Return who each row is, where the list says it, and a few numbers of it."""
    names = [n for n in ("object_id", "teff", "magnitude", "flux_scale", "snr") if n in spectra]
    return [
        {name: spectra[name].values[row].item() if spectra[name].dtype.kind in "fi"
         else str(spectra[name].values[row]) for name in names}
        for row in range(spectra.sizes["spectrum"])
    ]  # fmt: skip
