"""Which datasets runs were trained on: what is not to be removed under them."""

from collections.abc import Iterable

from simlib.artifact import read_record
from simlib.dataset.prune import InUse
from simlib.errors import InputError
from simlib.location import Location
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
