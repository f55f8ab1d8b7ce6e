"""Which datasets runs were trained on and releases name: what is not to be removed under them."""

from collections.abc import Iterable

from simlib.artifact import read_record
from simlib.dataset.prune import InUse
from simlib.errors import InputError
from simlib.location import Location
from trainlib.release import numbers_of, read_release
from trainlib.runs import MANIFEST, RunManifest


def datasets_in_use(folders: Iterable[Location]) -> InUse:
    """Return the datasets that the runs in these folders were trained on."""
    fingerprints, unknown = {}, ""
    for run in (folder / name for folder in folders for name in folder.names()):
        try:
            manifest = read_record(run / MANIFEST, RunManifest)
        except InputError as error:
            unknown = f"what run {run.name} was trained on is not known: {error}"
            continue
        if manifest is not None:
            fingerprints[manifest.dataset.fingerprint] = f"run {run.name} was trained on it"
    return InUse(fingerprints, unknown)


def released_datasets(root: Location) -> InUse:
    """Return the datasets that a release under a root names, one that no longer holds included."""
    fingerprints, unknown = {}, ""
    for name in (root / "releases").names():
        for number in numbers_of(root, name):
            try:
                found = read_release(root, name, number)
            except InputError as error:
                unknown = f"what release {number} of {name} names is not known: {error}"
                continue
            if found is not None:
                fingerprints[found.dataset.fingerprint] = f"release {number} of {name} names it"
    return InUse(fingerprints, unknown)


def both(one: InUse, other: InUse) -> InUse:
    """Return what either says."""
    return InUse({**one.fingerprints, **other.fingerprints}, one.unknown or other.unknown)
