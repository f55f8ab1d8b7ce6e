"""Turn a folder of downloaded files into a store: a plane of nodes a task, resumable.

An import that was cut short is run again and does the rest, with the same bits. A finished store
is never changed: the same files find it finished, others are refused.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from distributed import Client, as_completed

from simlib.artifact import Record, create_record, lock, read_record
from simlib.errors import InputError
from simlib.fingerprint import checksum
from simlib.location import Location, Place
from simlib.parameters import AXES
from simlib.stellar.archive.import_plan import ImportPlan
from simlib.stellar.archive.import_plane import (
    PlaneRecord,
    file_digests,
    import_plane,
    record_place,
    records_folder,
)
from simlib.stellar.store import array_at, create_arrays, is_store, publish_store
from simlib.stellar.stored_grid import open_store

Progress = Callable[[int, int, int], None]  # planes done, planes in all, files read for the last


class StartedImport(Record):
    """What an import's store is for: the checksum of each coordinate."""

    remedy = "remove the store and its .parts, and import again"

    coords: dict[str, str]


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    store: str
    checksum: str
    nodes: int
    files_read: int  # by this run; the others were there
    planes_kept: int
    holes: list[dict[str, Any]]


def import_grid(
    plan: ImportPlan,
    store: Place,
    client: Client,
    *,
    on_progress: Progress = lambda done, total, files: None,
) -> ImportReport:
    """Import the planned files into a store on the client's workers; a rerun does the rest.

    Raises InputError where the store is of another import, finished or not, or another process
    imports into it.
    """
    place = Location.of(store)
    with _held(place):
        try:
            if is_store(place):
                return _kept(plan, place, client)
            start_import(plan, place)
            return _finish(plan, place, *_import_planes(plan, place, client, on_progress))
        finally:
            if is_store(place):  # which holds all that its records hold
                records_folder(place).remove()


def _held(place: Location) -> AbstractContextManager[None]:
    if not place.is_local:
        return nullcontext()  # there, what is created last decides
    return lock((records_folder(place) / "lock").path, f"the import into {place}", timeout_s=0)


def start_import(plan: ImportPlan, place: Location) -> None:
    """Settle what the store will be, then write its metadata and coordinates."""
    begun = records_folder(place) / "import.json"
    if place.exists() and not begun.exists():
        raise InputError(f"{place} exists and is no grid; choose another place, or remove it")
    mine = StartedImport(coords={name: checksum(v) for name, v in plan.coords.items()})
    standing = create_record(begun, mine)
    if other := [n for n, value in mine.coords.items() if standing.coords.get(n) != value]:
        raise InputError(
            f"{place} is there with another {', '.join(other)}; the files found now do not "
            "make that grid: import into a new store, or remove this one and its .parts"
        )
    create_arrays(place, plan.coords)


def _import_planes(
    plan: ImportPlan, place: Location, client: Client, on_progress: Progress
) -> tuple[dict[tuple[int, int], PlaneRecord], int, int]:
    """Return the record of every plane, how many were there, and how many files were read."""
    standing = {p: read_record(record_place(place, p), PlaneRecord) for p in plan.planes}
    planes = {
        client.submit(
            import_plane,
            plan.release.name,
            plan.plane_files(plane),
            plan.window,
            place,
            plane,
            signature=plan.signature,
            record=standing[plane],
            pure=False,
            retries=2,
        ): plane
        for plane in plan.planes
    }
    records: dict[tuple[int, int], PlaneRecord] = {}
    kept, files_read = 0, 0
    on_progress(0, len(planes), 0)
    for future, (record, read) in as_completed(list(planes), with_results=True):
        records[planes[future]] = record
        kept, files_read = kept + (read is None), files_read + (read or 0)
        on_progress(len(records), len(planes), read or 0)
    return records, kept, files_read


def _finish(
    plan: ImportPlan,
    place: Location,
    records: dict[tuple[int, int], PlaneRecord],
    kept: int,
    files_read: int,
) -> ImportReport:
    shape = tuple(len(plan.axes[name]) for name in AXES)
    digests, files = np.zeros(shape, dtype=np.uint64), np.zeros(shape, dtype=np.uint64)
    holes = []
    for plane in plan.planes:
        digests[plane], files[plane] = records[plane].digests, records[plane].files
        for at, reason in records[plane].reasons.items():
            node = (*plane, *(int(i) for i in at.split(",")))
            holes.append({**_named(plan, node), "reason": reason})
    attrs = {**plan.attrs, "holes": holes}
    return ImportReport(
        store=str(place),
        checksum=publish_store(place, digests, files, attrs),
        nodes=int((digests != 0).sum()),
        files_read=files_read,
        planes_kept=kept,
        holes=holes,
    )


def _kept(plan: ImportPlan, place: Location, client: Client) -> ImportReport:
    """Return the report of a store that is finished and is of these files; refuse another."""
    grid = open_store(place)
    differing = [
        *(n for n, v in plan.coords.items() if not np.array_equal(grid[n].values, v)),
        *(n for n, v in plan.attrs.items() if grid.attrs.get(n) != v),
    ] or list(_other_files(plan, place, client))
    if differing:
        raise InputError(
            f"{place} is a finished grid, and what is in the folder now makes another one: it "
            f"differs in {', '.join(differing[:5])}{' …' if differing[5:] else ''}. A finished "
            "grid is never changed: import into a new store, or remove this one first"
        )
    return ImportReport(
        store=str(place),
        checksum=grid.attrs["checksum"],
        nodes=int(grid["present"].sum()),
        files_read=0,
        planes_kept=len(plan.planes),
        holes=grid.attrs["holes"],
    )


def _other_files(plan: ImportPlan, place: Location, client: Client) -> Iterator[str]:
    """Yield the nodes whose files are not those that the store was made from."""
    recorded = np.asarray(array_at(place, "file_checksum")[...])
    files = [plan.plane_files(plane) for plane in plan.planes]
    found = client.gather(client.map(file_digests, files, shape=recorded.shape[2:], pure=False))
    now = np.stack(found).reshape(recorded.shape)
    for node in np.argwhere(now != recorded):
        at = _named(plan, tuple(node))
        yield "the file of " + " ".join(f"{name}={value:g}" for name, value in at.items())


def _named(plan: ImportPlan, node: tuple[int, ...]) -> dict[str, float]:
    return {name: float(plan.axes[name][i]) for name, i in zip(AXES, node, strict=True)}
