"""The publication of a dataset: complete from its manifest on, then named by `latest.json`.

A reader finds a complete dataset or is told what is missing.
"""

import logging
from typing import ClassVar

from simlib.artifact import Record, encoded, read_record, replace_bytes, write_record
from simlib.config import SimulationConfig
from simlib.dataset.manifest import Fingerprint, Manifest, dataset_fingerprint
from simlib.dataset.places import latest_in, manifest_in, plan_in, versions_of
from simlib.dataset.plan import REPAIR, Plan
from simlib.dataset.store import is_template_whole, kept_sizes, readable, records_of
from simlib.errors import InputError
from simlib.location import Location, Place
from simlib.stellar.grid import open_grid_kept

log = logging.getLogger(__name__)


class Latest(Record):
    """What `latest.json` says: the folder beside it that is published."""

    remedy: ClassVar[str] = REPAIR
    fingerprint: Fingerprint


def folder_of(config: SimulationConfig) -> Location:
    """Return where the config's dataset belongs."""
    return versions_of(config) / dataset_fingerprint(config, open_grid_kept(config.grid))


def published(config: SimulationConfig) -> Location | None:
    """Return the folder of the config's dataset, None where a build has something to do."""
    folder = folder_of(config)
    return folder if is_published(folder, config) else None


def published_folder(place: Place) -> Location:
    """Return the folder of a complete dataset: its own, or that of its name, of the latest version.

    Raises InputError that tells what is missing where there is none.
    """
    return published_dataset(place)[0]


def published_dataset(place: Place) -> tuple[Location, Manifest]:
    """Return a complete dataset's folder and its manifest. Raises as `published_folder` does."""
    given = Location.of(place)
    folder = given.parent if given.name == "spectra.zarr" else given
    if (latest := read_record(latest_in(folder), Latest)) is not None:
        folder = folder / latest.fingerprint
    if (manifest := read_record(manifest_in(folder), Manifest)) is not None:
        return folder, manifest
    if (plan := read_record(plan_in(folder), Plan)) is None:
        raise InputError(f"no dataset at {given}; build it with `specdenoise build CONFIG`")
    records = records_of(folder, plan)
    raise InputError(
        f"the dataset at {folder} is not complete: {len(records)} of {len(list(plan.blocks()))} "
        "blocks are done; run `specdenoise build CONFIG` again, it does the rest"
    )


def require_split(folder: Location, manifest: Manifest, split: str) -> int:
    """Return the rows of a split; InputError where the dataset has no such split."""
    rows = manifest.plan.rows
    if split not in rows:
        raise InputError(f"{folder} has no split {split!r}; it has {', '.join(rows)}")
    return rows[split]


def publish(folder: Location, manifest: Manifest) -> None:
    """Make a dataset complete, and the latest of its name; nothing is written where it is that."""
    standing = readable(manifest_in(folder), Manifest)
    if standing is None or _told(standing) != _told(manifest):
        write_record(manifest_in(folder), manifest)
    latest = Latest(fingerprint=manifest.fingerprint)
    if readable(latest_in(folder.parent), Latest) != latest:
        _name_latest(latest_in(folder.parent), latest)


def _name_latest(place: Location, latest: Latest) -> None:
    """Say which version is published; what another builder said meanwhile is not undone unseen."""
    seen: list[bytes | None] = []

    def change(held: bytes | None) -> bytes:
        if seen and held != seen[-1]:
            log.warning("%s: another version was published meanwhile; %s takes its place",
                        place, latest.fingerprint)  # fmt: skip
        seen.append(held)
        return encoded(latest)

    replace_bytes(place, change)


def _told(manifest: Manifest) -> Manifest:
    """Leave out what differs from one making of the same dataset to the next."""
    return manifest.model_copy(update={"seconds": 0.0, "provenance": {}, "config": {}})


def is_published(folder: Location, config: SimulationConfig) -> bool:
    """Return whether a config's dataset is complete, the latest, and all its files are there.

    All are counted, and their bytes; what is in them is not read, nor are the blocks' records,
    which a complete dataset no longer needs.
    """
    manifest = readable(manifest_in(folder), Manifest)
    latest = readable(latest_in(folder.parent), Latest)
    if manifest is None or latest is None or latest.fingerprint != folder.name:
        return False
    if manifest.blocks is None:
        return config.dataset.mode != "stored"
    sizes = kept_sizes(folder)  # a stored dataset serves every mode
    is_all_there = (len(sizes), sum(sizes.values())) == (
        manifest.blocks.files, manifest.blocks.bytes,
    )  # fmt: skip
    return is_all_there and is_template_whole(folder, manifest.template)
