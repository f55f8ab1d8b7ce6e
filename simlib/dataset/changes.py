"""What of a config's dataset would be made again, and why: its inputs against those published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simlib.config import SimulationConfig
from simlib.dataset.manifest import Manifest, dataset_inputs
from simlib.dataset.places import latest_in, manifest_in, plan_in, versions_of
from simlib.dataset.plan import Plan
from simlib.dataset.publish import Latest, folder_of, is_published
from simlib.dataset.store import missing_blocks, readable, records_of
from simlib.etc.grid.store import is_published as is_terms_published
from simlib.etc.grid.store import terms_folder
from simlib.location import Location
from simlib.stellar.grid import open_grid_kept


@dataclass(frozen=True)
class Change:
    """One input that is another now. section: of the inputs. old, new: plain values."""

    section: str
    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Due:
    """A stage of the work, and whether anything of it is to be done.

    place: where its result is or will be. reason: in words. seconds: what it took the last time,
    in proportion to what is to be done now; None where that is not known.
    """

    stage: str
    place: str
    is_due: bool
    reason: str
    changes: tuple[Change, ...] = ()
    seconds: float | None = None


def changes_between(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> tuple[Change, ...]:
    """Return what differs between two sets of inputs, by section and name."""
    return tuple(
        Change(section, name, old.get(section, {}).get(name), new.get(section, {}).get(name))
        for section in dict.fromkeys((*old, *new))
        for name in dict.fromkeys((*old.get(section, {}), *new.get(section, {})))
        if old.get(section, {}).get(name) != new.get(section, {}).get(name)
    )


def terms_due(config: SimulationConfig) -> Due:
    """Return whether the grid of terms is to be made."""
    folder = terms_folder(config)
    if is_terms_published(folder):
        return Due("etc-grid", str(folder), False, "is there")
    return Due("etc-grid", str(folder), True, "is not there", _changes(config, {"terms"}))


def dataset_due(config: SimulationConfig) -> Due:
    """Return whether the dataset is to be made or gone on with, against the one published."""
    folder, latest = folder_of(config), _latest(config)
    if is_published(folder, config):
        manifest = readable(manifest_in(folder), Manifest)
        told = f"is complete and published{_keeping(manifest.plan, config) if manifest else ''}"
        return Due("build-dataset", str(folder), False, told)
    seconds = None
    if latest is not None and latest.blocks is not None:
        data = config.dataset
        rows = data.n_train + data.n_validation + data.n_test
        seconds = latest.seconds * rows / latest.rows
    if (manifest := readable(manifest_in(folder), Manifest)) is None:
        changes = _changes(config)
        if (plan := readable(plan_in(folder), Plan)) is not None:
            missing, blocks = _missing(folder, plan), len(list(plan.blocks()))
            told = f"was begun: {blocks - missing} of {blocks} blocks are done"
            told += _keeping(plan, config)
            share = missing / blocks
            return Due("build-dataset", str(folder), True, told, changes,
                       None if seconds is None else seconds * share)  # fmt: skip
        told = "none of this name is published" if latest is None else "another one is published"
        return Due("build-dataset", str(folder), True, told, changes, seconds)
    if latest is None or latest.fingerprint != manifest.fingerprint:
        told = "is complete, but another version is published"
        return Due("build-dataset", str(folder), True, told, _changes(config), 0.0)
    if manifest.blocks is None:
        told = "its spectra are not stored yet"
        return Due("build-dataset", str(folder), True, told, (), seconds)
    missing = _missing(folder, manifest.plan)
    told = f"files are missing or of another size ({missing} blocks)"
    blocks = len(list(manifest.plan.blocks()))
    return Due("build-dataset", str(folder), True, told, (), (seconds or 0.0) * missing / blocks)


def _keeping(plan: Plan, config: SimulationConfig) -> str:
    return f"; it keeps its own plan: {told}" if (told := plan.unlike(config)) else ""


def _missing(folder: Location, plan: Plan) -> int:
    return len(missing_blocks(folder, plan, records_of(folder, plan)))


def _latest(config: SimulationConfig) -> Manifest | None:
    """Return the manifest of the version that is published, whatever its inputs."""
    versions = versions_of(config)
    latest = readable(latest_in(versions), Latest)
    if latest is None:
        return None
    return readable(manifest_in(versions / latest.fingerprint), Manifest)


def _changes(config: SimulationConfig, sections: set[str] | None = None) -> tuple[Change, ...]:
    if (latest := _latest(config)) is None:
        return ()
    now = dataset_inputs(config, open_grid_kept(config.grid))
    found = changes_between(latest.inputs, now)
    return tuple(one for one in found if sections is None or one.section in sections)
