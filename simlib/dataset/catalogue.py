"""What datasets there are below a root, and what the records of one say of it.

Records alone are read, never spectra: see `simlib.dataset.inspect` for what is in them.
"""

from dataclasses import dataclass
from typing import Any

from simlib.artifact import read_record
from simlib.dataset.find import find_dataset
from simlib.dataset.manifest import Begun, Manifest
from simlib.dataset.named import is_name
from simlib.dataset.places import begun_in, latest_in, manifest_in, plan_in
from simlib.dataset.plan import Plan
from simlib.dataset.publish import Latest
from simlib.dataset.store import readable, records_of
from simlib.errors import InputError
from simlib.location import Location, Place

_SECTIONS = ("instrument", "conditions", "stellar", "terms", "sky", "noise", "normalize", "dataset")


@dataclass(frozen=True)
class ListedDataset:
    """A version of a dataset. state: `published`, `old`, `not finished`, or why it cannot be read.

    rows: by split. bytes: of stored spectra; None where none are stored, or it is not finished.
    """

    name: str
    fingerprint: str
    place: str
    state: str
    mode: str = ""
    rows: dict[str, int] | None = None
    bytes: int | None = None
    made: str = ""


def list_datasets(root: Location) -> list[ListedDataset]:
    """Return all versions in `<root>/datasets`, by name, what is finished last and by its age."""
    found = [
        listed
        for name in filter(is_name, (root / "datasets").names())
        for listed in _versions(root / "datasets" / name)
    ]
    return sorted(found, key=lambda one: (one.name, one.made))


def _versions(versions: Location) -> list[ListedDataset]:
    latest = readable(latest_in(versions), Latest)
    found = [_listed(versions / name, latest) for name in versions.names()]
    return [one for one in found if one is not None]


def _listed(folder: Location, latest: Latest | None) -> ListedDataset | None:
    about = (folder.parent.name, folder.name, str(folder))
    try:
        manifest = read_record(manifest_in(folder), Manifest)
        plan = manifest.plan if manifest else read_record(plan_in(folder), Plan)
    except InputError as error:
        return ListedDataset(*about, state=str(error))
    if plan is None:
        return None
    if manifest is None:
        return ListedDataset(*about, state="not finished", rows=plan.rows)
    is_latest = latest is not None and latest.fingerprint == folder.name
    return ListedDataset(
        *about,
        state="published" if is_latest else "old",
        mode=manifest.mode,
        rows=plan.rows,
        bytes=manifest.blocks.bytes if manifest.blocks else None,
        made=str(manifest.provenance.get("written", "")),
    )


def describe_dataset(place: Place) -> dict[str, Any]:
    """Return what is recorded of one dataset, complete or not, as plain data.

    Raises InputError where there is none.
    """
    folder, manifest = find_dataset(place)
    if manifest is None:
        return _unfinished(folder)
    blocks, provenance = manifest.blocks, manifest.provenance
    versions = provenance.get("versions", {})
    return {
        "folder": str(folder),
        "fingerprint": manifest.fingerprint,
        "state": "complete",
        "mode": manifest.mode,
        "rows": manifest.plan.rows,
        "block": manifest.plan.block,
        "codec": manifest.plan.codec,
        "bytes": blocks.bytes if blocks else None,
        "files": blocks.files if blocks else None,
        "checksum": blocks.checksum if blocks else None,
        "core_seconds": blocks.core_seconds if blocks else None,
        "physics_version": manifest.physics_version,
        "stellar_grid": manifest.stellar_grid,
        "made": provenance.get("written"),
        "by": f"specdenoise {versions['specdenoise']}" if versions.get("specdenoise") else None,
        "commit": provenance.get("commit"),
        "host": provenance.get("host"),
        "arithmetic": list(manifest.arithmetic),
        "config": _told(manifest.config),
    }


def _unfinished(folder: Location) -> dict[str, Any]:
    plan = readable(plan_in(folder), Plan)
    if plan is None:
        raise InputError(f"{plan_in(folder)} cannot be read; {Plan.remedy}")
    begun = readable(begun_in(folder), Begun)
    return {
        "folder": str(folder),
        "fingerprint": folder.name,
        "state": "not finished",
        "rows": plan.rows,
        "block": plan.block,
        "codec": plan.codec,
        "blocks_done": len(records_of(folder, plan)),
        "blocks": len(list(plan.blocks())),
        "config": _told(begun.config) if begun else {},
    }


def _told(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values that shape the spectra, by `section.key`."""
    return {
        f"{section}.{key}": value
        for section in _SECTIONS
        for key, value in config.get(section, {}).items()
    }
