"""What of a root may go: old versions of datasets, unfinished ones, what dead writers left.

Nothing that is published ever goes, nothing that somebody may be writing, and nothing that is not
known to be ours. That somebody writes is told by the time of the newest file alone: builders may be
on any machine, and an object store has no processes.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from simlib.artifact import discard, is_leftover, is_writer_alive, read_record, remove_leftover
from simlib.dataset.manifest import Manifest
from simlib.dataset.named import is_name
from simlib.dataset.places import latest_in, manifest_in
from simlib.dataset.publish import Latest
from simlib.errors import InputError
from simlib.etc.grid.store import TermsManifest
from simlib.location import FileFacts, Location

log = logging.getLogger(__name__)

DATASETS, TERMS, RUNS = "datasets", "terms", "runs"
MARGIN_S = 24 * 3600.0  # after which what is not finished is taken for abandoned
OLD, UNFINISHED, LEFTOVER, VERSION = "old version", "unfinished version", "leftover", "version"
PARTS_OF_A_VERSION = {"spectra.zarr", "parts", "manifest.json", "dask-report.html"}
_DEPTH = 4  # datasets/<name>/<fingerprint>/parts
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_TERMS = re.compile(r"terms-[0-9a-f]{12}\.zarr")


@dataclass(frozen=True)
class InUse:
    """Datasets that something was made from: by fingerprint, why they stay.

    unknown: why it is not known of all; empty where it is.
    """

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""


@dataclass(frozen=True)
class Found:
    """A version or a leftover. why: it may go, or stays.

    written: when its newest file was, s since 1970; None where that is not known.
    """

    place: Location
    kind: str
    why: str
    bytes: int
    written: float | None
    finished: str = ""


@dataclass(frozen=True)
class Pruning:
    """What may go, and the versions that stay."""

    goes: tuple[Found, ...]
    stays: tuple[Found, ...]

    @property
    def bytes(self) -> int:
        """Return the size of all that may go."""
        return sum(found.bytes for found in self.goes)


def find_prunable(
    root: Location, in_use: InUse, keep: int = 0, margin_s: float = MARGIN_S
) -> Pruning:
    """Return what of a root may go.

    keep: so many of the newest old versions of each name stay. margin_s: what is not finished stays
    where it was written to later than that long ago. Raises InputError for a root that holds
    nothing of ours.
    """
    if not any((root / folder).exists() for folder in (DATASETS, TERMS, RUNS)):
        raise InputError(
            f"{root} holds neither {DATASETS}/ nor {TERMS}/ nor {RUNS}/; give the folder or URL "
            "that storage.root names"
        )
    since = time.time() - margin_s
    versions = [
        found
        for name in filter(is_name, (root / DATASETS).names())
        for found in _versions(root / DATASETS / name, in_use, keep, since)
    ]
    goes = [found for found in versions if found.kind != VERSION]
    stays = [found for found in versions if found.kind == VERSION]
    leftovers = [*_leftovers(root, since), *_unnamed_terms(root / TERMS, since)]
    return Pruning((*goes, *leftovers), tuple(stays))


def _versions(versions: Location, in_use: InUse, keep: int, since: float) -> list[Found]:
    """Return all versions of a dataset, each with what it is."""
    published, unknown = _published(versions)
    found = [
        _judged(versions / name, published, unknown, in_use, since)
        for name in versions.names()
        if _FINGERPRINT.fullmatch(name)
    ]
    old = sorted((one for one in found if one.kind == OLD), key=lambda one: one.finished)
    staying = {one.place for one in (old[-keep:] if keep else [])}
    return [
        replace(one, kind=VERSION, why=f"of the {keep} newest old ones")
        if one.place in staying
        else one
        for one in found
    ]


def _published(versions: Location) -> tuple[str, str]:
    """Return which version is published, empty where none is; and why that is not known."""
    try:
        latest = read_record(latest_in(versions), Latest)
    except InputError as error:
        return "", f"which version is published is not known: {error}"
    return (latest.fingerprint if latest else ""), ""


def _judged(folder: Location, published: str, unknown: str, in_use: InUse, since: float) -> Found:
    """Return what a version is."""
    files = folder.files()
    size, written = sum(file.bytes for file in files.values()), _newest(files)
    why = _strange(folder) or unknown or ("published" if folder.name == published else "")
    try:
        manifest = None if why else read_record(manifest_in(folder), Manifest)
    except InputError as error:
        why, manifest = f"cannot be read: {error}", None
    if not why and written is None:
        why = "when its files were written is not known"
    if not why and manifest is None:
        kind, why = (
            (VERSION, "not finished, and written to lately: a builder may still run")
            if written is not None and written > since
            else (UNFINISHED, "not finished, and nobody goes on with it")
        )
        return Found(folder, kind, why, size, written)
    why = why or _needed(folder, published, in_use, files, since)
    if why or manifest is None:
        return Found(folder, VERSION, why, size, written)
    finished = str(manifest.provenance.get("written", ""))
    return Found(folder, OLD, f"{published} is published", size, written, finished)


def _strange(folder: Location) -> str:
    """Return why a folder is not known to be a version, or nothing."""
    if folder.is_local and folder.path.is_symlink():
        return "a link"
    names = {name for name in folder.names() if not is_leftover(name)}
    if strange := sorted(names - PARTS_OF_A_VERSION):
        return f"holds {strange[0]}, which is not of a dataset"
    return "" if names else "holds nothing of a dataset"


def _needed(
    folder: Location, published: str, in_use: InUse, files: Mapping[str, FileFacts], since: float
) -> str:
    """Return why a finished version stays that is not published, or nothing."""
    if not published:
        return "finished, and which version is published is not known: latest.json is gone"
    if why := in_use.fingerprints.get(folder.name) or in_use.unknown:
        return why
    finished, newest = files["manifest.json"].written, _newest(files)
    is_mended = finished is not None and newest is not None and newest > max(finished, since)
    return "written to lately, after it was finished" if is_mended else ""


def _newest(files: Mapping[str, FileFacts]) -> float | None:
    """Return when the newest file was written; None where that is not known of all."""
    times = [file.written for file in files.values() if file.written is not None]
    return max(times) if times and len(times) == len(files) else None


def _leftovers(root: Location, since: float) -> Iterator[Found]:
    """Yield what writers left half-written on a disk; behind a URL they leave nothing."""
    if not root.is_local:
        return
    for place in (
        p for folder in (DATASETS, TERMS, RUNS) for p in _half_written(root / folder, _DEPTH)
    ):
        files, lives = place.files(), is_writer_alive(place.name)
        written = _newest(files) or place.path.lstat().st_mtime
        if lives is False or (lives is None and written < since):
            why = "its writer has ended" if lives is False else "of another machine's writer, old"
            yield Found(place, LEFTOVER, why, sum(f.bytes for f in files.values()), written)


def _half_written(folder: Location, depth: int) -> Iterator[Location]:
    """Yield what has a writer's name, down to the folders of blocks and checkpoints."""
    for place in (folder / name for name in folder.names()):
        if is_leftover(place.name):
            yield place
        elif depth > 1 and not place.name.endswith(".zarr") and _is_folder(place):
            yield from _half_written(place, depth - 1)


def _is_folder(place: Location) -> bool:
    return place.path.is_dir() and not place.path.is_symlink()


def _unnamed_terms(terms: Location, since: float) -> Iterator[Found]:
    """Yield the arrays of grids of terms that no manifest took."""
    for folder in (terms / name for name in terms.names() if _FINGERPRINT.fullmatch(name)):
        with suppress(InputError):  # a damaged manifest does not say which are its own
            manifest = read_record(manifest_in(folder), TermsManifest)
            taken = manifest.arrays if manifest else ""
            for place in (folder / name for name in folder.names() if _TERMS.fullmatch(name)):
                files = place.files()
                written = _newest(files)
                if place.name != taken and written is not None and written < since:
                    size = sum(file.bytes for file in files.values())
                    yield Found(place, LEFTOVER, "terms that no manifest took", size, written)


def prune(pruning: Pruning) -> list[Found]:
    """Remove what may go; return what was removed.

    Each is looked at once more: what was published, written to or removed meanwhile is left out. On
    a disk a folder loses its name before anything in it goes. Behind a URL its manifest goes first:
    what a kill leaves there is a version that is not finished. Raises OSError where something
    cannot be removed.
    """
    return [found for found in pruning.goes if _remove(found)]


def _remove(found: Found) -> bool:
    place = found.place
    if _newest(place.files()) not in (found.written, None) or _is_published(found):
        log.warning("%s was written to or published meanwhile; it stays", place)
        return False
    if not place.is_local:
        manifest_in(place).remove()
        place.remove()
        return True
    with suppress(FileNotFoundError):
        if found.kind == LEFTOVER:
            remove_leftover(place.path)
            return True
        return discard(place, lambda: _is_published(found))
    return False


def _is_published(found: Found) -> bool:
    """Return whether a version is published, or may be; a leftover is not."""
    if found.kind == LEFTOVER:
        return False
    published, unknown = _published(found.place.parent)
    return bool(unknown) or published == found.place.name
