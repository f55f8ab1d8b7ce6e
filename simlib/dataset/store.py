"""The Zarr store of a dataset while it is made: its template, its blocks, what is amiss with them.

How its files look is `layout`; how a finished one is read is `stored`.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
import xarray as xr

from simlib.artifact import Record, parse_record, read_record, write_files
from simlib.dataset.layout import (
    CODECS,
    as_named,
    block_files,
    checksum_of,
    dtype_of,
    row_chunks,
    row_files,
    template_files,
)
from simlib.dataset.places import arrays_in, record_in
from simlib.dataset.plan import SIMULATED, Block, BlockRecord, Plan
from simlib.errors import InputError
from simlib.fingerprint import digest
from simlib.location import Location
from simlib.unbuffered import Bytes

log = logging.getLogger(__name__)

RecordModel = TypeVar("RecordModel", bound=Record)


def write_template(folder: Location, plan: Plan, example: xr.Dataset) -> dict[str, str]:
    """Write what is missing or wrong of an empty store; return the digest of each file of it.

    example: one simulated row. Harmless at any time: a block's files are others.
    """
    return _kept(arrays_in(folder), template_files(plan, example))


def laid_out(folder: Location, mine: Plan, example: xr.Dataset) -> Plan | None:
    """Return the plan by which an empty store was written, None where it cannot be told.

    mine: a plan of its rows.
    """
    arrays = arrays_in(folder)
    for name, data in arrays.read_files([f"{split}/flux/zarr.json" for split in mine.rows]).items():
        try:
            told = json.loads(data)
            block = told["chunk_grid"]["configuration"]["chunk_shape"][0]
            chunk = told["codecs"][0]["configuration"]["chunk_shape"][0]
            for codec in CODECS:
                plan = Plan(**dict(mine) | {"block": block, "chunk": chunk, "codec": codec})
                if template_files(plan, example).get(name) == data:
                    return plan
        except (ValueError, LookupError, TypeError) as error:
            log.warning("%s cannot be read (%s)", arrays / name, error)
    return None


def write_block(
    folder: Location, plan: Plan, block: Block, values: Mapping[str, np.ndarray]
) -> tuple[str, dict[str, int]]:
    """Write one block and read it back; return the checksum of its values and its files' sizes.

    values: of each variable, as it is kept. Nothing that is there is read before: what
    another writer left of the block is replaced. Raises OSError where the store gives back
    something else than was written.
    """
    files = block_files(plan, block, values)
    write_kept(arrays_in(folder), files)
    return checksum_of(values), {name: len(data) for name, data in files.items()}


def write_row_variables(
    folder: Location,
    plan: Plan,
    records: Mapping[str, BlockRecord],
    drawn: Callable[[str, int, int], xr.Dataset],
) -> dict[str, str]:
    """Write what has one value a row, of all rows; return the digest of each file of it.

    records: of all blocks, by name. drawn: the parameters of a split's rows from … to. What stands
    and is right stays as it is.
    """
    simulated = {
        split: {
            name: np.concatenate([records[block.name].simulated()[name] for block in plan.blocks()
                                  if block.split == split])
            for name in SIMULATED
        }
        for split in plan.rows
    }  # fmt: skip
    digests: dict[str, str] = {}
    for chunk in row_chunks(plan):
        parameters = drawn(chunk.split, chunk.start, chunk.stop)
        values = {
            str(name): array.values.astype(dtype_of(str(name)), copy=False)
            for name, array in parameters.data_vars.items()
        }
        for name, column in simulated[chunk.split].items():
            values[name] = column[chunk.start : chunk.stop]
        digests |= _kept(arrays_in(folder), row_files(plan, chunk, values))
    return digests


def _kept(arrays: Location, files: Mapping[str, Bytes]) -> dict[str, str]:
    """Write what is missing or wrong of these files; return the digest of each."""
    sizes = arrays.sizes()
    there = {name: data for name, data in files.items() if name in sizes}
    wrong = {*(files.keys() - there.keys()), *arrays.unlike(there)}
    if wrong:
        write_kept(arrays, {name: data for name, data in files.items() if name in wrong})
    return {name: digest(data) for name, data in files.items()}


def write_kept(arrays: Location, files: Mapping[str, Bytes]) -> None:
    """Write files of the arrays and read them back; OSError where they are not what was written."""
    write_files(arrays, files)
    if wrong := arrays.unlike(files):
        raise OSError(f"{arrays / wrong[0]} reads back differently from what was written")


def readable(place: Location, model: type[RecordModel]) -> RecordModel | None:
    """Return a record, None where there is none or where it cannot be used: it is made again."""
    return usable(partial(read_record, place, model))


def usable(read: Callable[[], RecordModel | None]) -> RecordModel | None:
    """Return the record that is read, None where it cannot be used, which is told."""
    try:
        return read()
    except InputError as error:
        log.warning("%s", error)
        return None


def records_of(folder: Location, plan: Plan) -> dict[str, BlockRecord]:
    """Return the records of the finished blocks, by the block's name; damaged ones left out."""
    parts = folder / "parts"
    wanted = {f"{block.name}.json": block for block in plan.blocks()}
    found = parts.read_files(wanted.keys() & set(parts.names()))
    records: dict[str, BlockRecord] = {}
    for name, data in found.items():
        record = usable(partial(parse_block, folder, plan, wanted[name], data))
        if record is not None:
            records[wanted[name].name] = record
    return records


def parse_block(folder: Location, plan: Plan, block: Block, data: bytes) -> BlockRecord:
    """Return the record of a block, of its file's bytes.

    Raises InputError for what is damaged, and for the record of something else.
    """
    place = record_in(folder, block)
    record = parse_record(place, data, BlockRecord)
    values = 4 * (block.stop - block.start)
    if (
        Block(record.split, record.start, record.stop) != block
        or set(record.sizes) != set(as_named(plan, block))
        or any(len(kept) != values for kept in (record.snr, record.flux_scale))
    ):
        raise InputError(
            f"{place} is not the record of rows {block.start} to {block.stop - 1} of "
            f"{block.split!r} (it says {record.start} to {record.stop - 1} of {record.split!r}); "
            f"{record.remedy}"
        )
    return record


def readable_block(folder: Location, plan: Plan, block: Block) -> BlockRecord | None:
    """Return the record of a block, None where there is none or where it cannot be used."""
    data = record_in(folder, block).read_bytes()
    return None if data is None else usable(partial(parse_block, folder, plan, block, data))


def missing_blocks(folder: Location, plan: Plan, records: Mapping[str, BlockRecord]) -> list[Block]:
    """Return the blocks that have no record, or whose files are not all there, of their sizes."""
    sizes = kept_sizes(folder)
    return [
        block
        for block in plan.blocks()
        if (record := records.get(block.name)) is None
        or any(sizes.get(name) != size for name, size in record.sizes.items())
    ]


def kept_sizes(folder: Location) -> dict[str, int]:
    """Return the bytes of each file of the arrays, by name; what is half-written is none."""
    found = arrays_in(folder).sizes()
    return {name: size for name, size in found.items() if "/." not in f"/{name}"}


def strays_in(plan: Plan, others: Iterable[str], sizes: Iterable[str]) -> list[str]:
    """Return the names of files of the arrays that are no block's and none of these others."""
    shards = {name for block in plan.blocks() for name in as_named(plan, block)}
    return sorted(set(sizes) - shards - set(others))


def is_template_whole(folder: Location, digests: Mapping[str, str]) -> bool:
    """Return whether metadata and coordinates are those that were published."""
    found = arrays_in(folder).read_files(digests)
    return digests == {name: digest(data) for name, data in found.items()}
