"""The Zarr store of a dataset while it is made: its template, its blocks, what is amiss with them.

How its files look is `layout`; how a finished one is read is `stored`.
"""

import logging
from collections.abc import Mapping
from typing import TypeVar

import xarray as xr

from simlib.artifact import Record, parse_record, read_record, write_files
from simlib.dataset.layout import as_kept, block_files, checksum_of, template_files
from simlib.dataset.places import arrays_in
from simlib.dataset.plan import Block, BlockRecord, Plan
from simlib.errors import InputError
from simlib.fingerprint import digest
from simlib.location import Location

log = logging.getLogger(__name__)

RecordModel = TypeVar("RecordModel", bound=Record)


def write_template(folder: Location, plan: Plan, example: xr.Dataset) -> dict[str, str]:
    """Write what is missing or wrong of an empty store; return the digest of each file of it.

    example: one simulated row. Harmless at any time: a block's files are others.
    """
    files, arrays = template_files(plan, example), arrays_in(folder)
    standing = arrays.read_files(files)
    if missing := {name: data for name, data in files.items() if standing.get(name) != data}:
        write_files(arrays, missing)
    return {name: digest(data) for name, data in files.items()}


def write_block(
    folder: Location, plan: Plan, block: Block, spectra: xr.Dataset
) -> tuple[str, dict[str, int]]:
    """Write one block and read it back; return the checksum of its values and its files' sizes.

    Nothing that is there is read before: what another writer left of the block is replaced.
    Raises OSError where the store gives back something else than was written.
    """
    values, arrays = as_kept(spectra), arrays_in(folder)
    files = block_files(plan, block, values)
    write_files(arrays, files)
    kept = arrays.read_files(files)
    if wrong := [name for name, data in files.items() if kept.get(name) != data]:
        raise OSError(f"{arrays / wrong[0]} reads back differently from what was written")
    return checksum_of(values), {name: len(data) for name, data in files.items()}


def readable(place: Location, model: type[RecordModel]) -> RecordModel | None:
    """Return a record, None where there is none or where it cannot be used: it is made again."""
    try:
        return read_record(place, model)
    except InputError as error:
        log.warning("%s", error)
        return None


def records_of(folder: Location, plan: Plan) -> dict[str, BlockRecord]:
    """Return the records of the finished blocks, by the block's name; damaged ones left out."""
    parts = folder / "parts"
    wanted = {f"{block.name}.json" for block in plan.blocks()}
    found = parts.read_files(wanted.intersection(parts.names()))
    records: dict[str, BlockRecord] = {}
    for name, data in found.items():
        try:
            records[name.removesuffix(".json")] = parse_record(parts / name, data, BlockRecord)
        except InputError as error:
            log.warning("%s", error)
    return records


def missing_blocks(folder: Location, plan: Plan, records: Mapping[str, BlockRecord]) -> list[Block]:
    """Return the blocks that have no record, or whose files are not all there, of their sizes."""
    sizes = arrays_in(folder).sizes()
    return [
        block
        for block in plan.blocks()
        if (record := records.get(block.name)) is None
        or any(sizes.get(name) != size for name, size in record.sizes.items())
    ]


def is_template_whole(folder: Location, digests: Mapping[str, str]) -> bool:
    """Return whether metadata and coordinates are those that were published."""
    found = arrays_in(folder).read_files(digests)
    return digests == {name: digest(data) for name, data in found.items()}
