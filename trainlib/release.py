"""What a group works with: a dataset, the run on it, its bundle; all three move in one step.

`<root>/releases/<name>/` holds a record a release, numbered, none ever changed. The one with the
highest number holds. To make another is to create the next number, which of several at once one
can; to go back is to release again what an earlier one named.
"""

import re
import time
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, PositiveInt

from simlib.artifact import Record, create_record, read_record
from simlib.config import NAME
from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.provenance import provenance
from trainlib import runs


class Part(BaseModel):
    """One thing of a release. place: the way from the record's folder, within one root."""

    model_config = ConfigDict(frozen=True)
    place: str
    fingerprint: str


class Release(Record):
    """What was released; `run` and `bundle` are None where there is none yet."""

    remedy: ClassVar[str] = "remove it; the release before it holds then"
    number: PositiveInt
    made: str
    dataset: Part
    run: Part | None
    bundle: Part | None
    provenance: dict[str, Any]


def releases_in(root: Location, name: str) -> Location:
    """Return the folder of all releases of a name. Raises InputError for what is no name."""
    if re.fullmatch(NAME, name) is None:
        raise InputError(
            f"{name!r} is no name of a release: letters, digits, '.', '_' and '-' make one"
        )
    return root / "releases" / name


def numbers_of(root: Location, name: str) -> list[int]:
    """Return the numbers of all releases of a name, the last of which holds."""
    found = (re.fullmatch(r"(\d{6})\.json", entry) for entry in releases_in(root, name).names())
    return sorted(int(match[1]) for match in found if match)


def read_release(root: Location, name: str, number: int | None = None) -> Release | None:
    """Return a release, by default the one that holds; None where there is none.

    Raises InputError for a record that is damaged.
    """
    numbers = numbers_of(root, name)
    if not numbers or (number is not None and number not in numbers):
        return None
    return read_record(_record(root, name, number or numbers[-1]), Release)


def release(
    root: Location,
    name: str,
    dataset: Location,
    run: Location | None = None,
    bundle: tuple[Location, str] | None = None,
) -> Release:
    """Release a published dataset and what was made of it; return the record that holds now.

    bundle: where it is, and its fingerprint. Nothing is written where the same holds already.
    Raises InputError for a dataset that is not published, a run that is not finished or is of
    another dataset, and where another release was made meanwhile.
    """
    folder, manifest = published_dataset(dataset)
    here = releases_in(root, name)
    parts: dict[str, Part | None] = {
        "dataset": Part(place=folder.relative_to(here), fingerprint=manifest.fingerprint),
        "run": None,
        "bundle": None,
    }
    if run is not None:
        trained = runs.read_manifest(run)
        if trained.outcome is None:
            raise InputError(f"the run {run} is not finished; train on, then release it")
        if trained.dataset.fingerprint != manifest.fingerprint:
            raise InputError(
                f"the run {run} was trained on dataset {trained.dataset.fingerprint}, not on "
                f"{manifest.fingerprint} at {folder}; release them with what belongs to them"
            )
        parts["run"] = Part(place=run.relative_to(here), fingerprint=trained.fingerprint)
    if bundle is not None:
        place, fingerprint = bundle
        parts["bundle"] = Part(place=place.relative_to(here), fingerprint=fingerprint)
    standing = read_release(root, name)
    if standing is not None and all(getattr(standing, key) == parts[key] for key in parts):
        return standing
    mine = Release(
        number=(numbers_of(root, name) or [0])[-1] + 1,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        provenance=provenance(),
        **parts,  # type: ignore[arg-type]
    )
    taken = create_record(_record(root, name, mine.number), mine)
    if taken != mine:
        raise InputError(
            f"release {taken.number} of {name!r} was made meanwhile, of dataset "
            f"{taken.dataset.fingerprint}; look at it, then release again what should hold"
        )
    return taken


def _record(root: Location, name: str, number: int) -> Location:
    return releases_in(root, name) / f"{number:06d}.json"
