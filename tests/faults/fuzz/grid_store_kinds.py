"""Stellar grids as the program keeps them: stores, and the records of imports and downloads."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from simlib.artifact import read_record
from simlib.fingerprint import fingerprint
from simlib.location import Location
from simlib.stellar import open_grid
from simlib.stellar.archive.download import RECORDS, settled_records
from simlib.stellar.archive.download_plan import Target
from simlib.stellar.archive.fetch import record_of_present
from simlib.stellar.archive.import_plan import ImportPlan, plan_import
from simlib.stellar.archive.import_plane import (
    PlaneRecord,
    import_plane,
    record_place,
    records_folder,
)
from simlib.stellar.archive.importing import start_import
from simlib.stellar.store import array_digest, write_grid
from tests.faults.fuzz.grid_file_kinds import NODE, OTHER_NODE, WINDOW
from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import altered, as_json, damaged
from tests.faults.fuzz.standing import Standing, broken_json, broken_record
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text

PLANE = (0, 0)


def _prepare_store(folder: Path) -> Standing:
    few = {"teff": [0], "logg": [0, 1], "feh": [0, 1], "alpha": [0]}
    few["wavelength_model"] = list(range(3000, 3100))
    write_grid(folder / "toy.zarr", open_grid("toy").isel(few))
    return Standing.of(folder / "toy.zarr")


def _store(standing: Standing, draw: Random, folder: Path, valid: bool) -> Attempt:
    """Break metadata or chunks; half of the broken metadata is made to look as published."""
    standing.mend()
    store = folder / "toy.zarr"
    path, data = standing.chosen(draw, draw.choice(("zarr.json", "zarr.json", "c/*", "0/0/0/0/0")))
    if draw.random() < 0.3:
        path, data = store / "zarr.json", standing.files[store / "zarr.json"]
    if not valid:
        is_metadata = path.name == "zarr.json"
        path.write_bytes(
            broken_json(data, draw) if is_metadata else damaged(data, draw, data[::-1])
        )
        if is_metadata and draw.random() < 0.5:
            _sign(store, path)
    note = str(path.relative_to(folder))
    if draw.random() < 0.3:
        return Attempt(["grid", "info", str(store), "--no-quality", "--json"], note)
    return Attempt(lambda: _read_grid(store), note)


def _read_grid(store: Path) -> None:
    grid = open_grid(store)
    for name in grid.variables:
        _ = grid[name].values


def _sign(store: Path, path: Path) -> None:
    """Give the group the digests of its metadata as they are, where it has a place for them."""
    try:
        group = json.loads((store / "zarr.json").read_bytes())
        attributes = group["attributes"]
        if path.parent != store:
            name = path.parent.name
            attributes["arrays"][name] = array_digest(Location.of(store), name)
        attributes.pop("digest", None)
        attributes["digest"] = fingerprint(attributes)
        (store / "zarr.json").write_bytes(as_json(group))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return


@dataclass(frozen=True)
class Import:
    """An import that was cut short: one plane is done."""

    plan: ImportPlan
    place: Location
    standing: Standing


def _prepare_import(folder: Path) -> Import:
    native = whole_native_wavelength(7)
    near = native[(native > 849) & (native < 861)]
    for node in (NODE, OTHER_NODE):
        write_2017_text(folder / "source", open_grid(), node, near)
    plan, place = plan_import(folder / "source", window=WINDOW), Location.of(folder / "new.zarr")
    _go_on(plan, place)
    return Import(plan, place, Standing.of(folder))


def _go_on(plan: ImportPlan, place: Location) -> None:
    """Do what an import does with one plane."""
    start_import(plan, place)
    import_plane(
        plan.release.name, plan.plane_files(PLANE), plan.window, place, PLANE,
        signature=plan.signature, record=read_record(record_place(place, PLANE), PlaneRecord),
    )  # fmt: skip


def _import(begun: Import, draw: Random, _: Path, valid: bool) -> Attempt:
    begun.standing.mend()
    path = draw.choice([p for p in begun.standing.files
                        if p.is_relative_to(records_folder(begun.place).path)])  # fmt: skip
    if not valid:
        path.write_bytes(broken_record(begun.standing.files[path], draw))
    return Attempt(lambda: _go_on(begun.plan, begun.place), path.name)


@dataclass(frozen=True)
class Download:
    """A download that is done, and the lines of its records."""

    targets: list[Target]
    lines: list[bytes]


def _prepare_download(folder: Path) -> Download:
    native = whole_native_wavelength(7)
    near = native[(native > 849) & (native < 861)]
    paths = [write_2017_text(folder, open_grid(), node, near) for node in (NODE, OTHER_NODE)]
    names = [str(path.relative_to(folder)) for path in paths]
    targets = [Target(path=name, url=f"http://localhost/{name}") for name in names]
    records = [record_of_present(target, folder) for target in targets]
    return Download(targets, [r.model_dump_json().encode() for r in records if r is not None])


def _download(done: Download, draw: Random, folder: Path, valid: bool) -> Attempt:
    lines = list(done.lines)
    if not valid:
        number = draw.randrange(len(lines))
        is_table = draw.random() < 0.6
        broken = as_json(altered(json.loads(lines[number]), draw)).replace(b"\n", b"")
        lines[number] = broken if is_table else damaged(lines[number], draw, lines[0])
    (folder / RECORDS).write_bytes(b"\n".join(lines) + b"\n")
    return Attempt(lambda: settled_records(done.targets, folder), "download.jsonl")


KINDS = {
    "stellar-store": Kind(150, _prepare_store, _store),
    "import-record": Kind(60, _prepare_import, _import),
    "download-record": Kind(40, _prepare_download, _download),
}
