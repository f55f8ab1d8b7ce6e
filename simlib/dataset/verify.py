"""Read all that a dataset holds, and compare it with what was written; on any copy of it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from simlib.artifact import parse_record
from simlib.dataset.damage import is_undamaged
from simlib.dataset.layout import template_names
from simlib.dataset.manifest import Manifest, summary_checksum
from simlib.dataset.places import arrays_in, latest_in, plan_in, record_in
from simlib.dataset.plan import Block, Plan
from simlib.dataset.publish import published_dataset
from simlib.dataset.store import kept_sizes, parse_block, strays_in
from simlib.errors import InputError
from simlib.fingerprint import digest
from simlib.location import Location, Place
from simlib.processes import usable_cores

Progress = Callable[[int, int, int], None]  # blocks done, blocks in all, spectra read now


@dataclass(frozen=True)
class Verification:
    """What is wrong with a dataset; nothing where `problems` is empty. bytes: that were read."""

    dataset: str
    fingerprint: str
    blocks: int
    spectra: int
    files: int
    bytes: int
    seconds: float
    problems: tuple[str, ...]


def verify_dataset(
    place: Place, threads: int | None = None, progress: Progress | None = None
) -> Verification:
    """Compare every file, value and record of a published dataset with its checksum.

    threads: None for one a core; reading and decoding leave the interpreter's lock.
    Raises InputError where no dataset is published there, or where it stores no spectra.
    """
    folder, manifest = published_dataset(place)
    if manifest.blocks is None:
        raise InputError(
            f"{folder} stores no spectra (dataset.mode = {manifest.mode!r}): they are made when "
            "they are looked at, and its first row is compared then"
        )
    started = time.monotonic()
    sizes = kept_sizes(folder)
    wrong = _wrong_files(folder, manifest)
    problems = [*_wrong_records(folder, manifest), *wrong.values()]
    strays = strays_in(manifest.plan, [*manifest.template, *manifest.row_files], sizes)
    problems += [f"spectra.zarr/{name} belongs to nothing" for name in strays]
    unreadable = {
        split
        for split in manifest.plan.rows
        if any(name in wrong for name in template_names(split) if name.endswith(".json"))
    }
    problems += [f"what describes {split!r} is damaged: its values were not read"
                 for split in sorted(unreadable)]  # fmt: skip
    blocks = list(manifest.plan.blocks())
    checksums: list[str] = []
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        found = pool.map(
            lambda block: _block(
                folder, manifest.plan, block, sizes, block.split not in unreadable
            ),
            blocks,
        )
        for number, (block, (checksum, trouble)) in enumerate(zip(blocks, found, strict=True), 1):
            checksums += [checksum] if checksum else []
            if trouble:
                problems.append(trouble)
            if progress:
                progress(number, len(blocks), block.stop - block.start)
    is_known = len(checksums) == len(blocks)
    if is_known and summary_checksum(checksums) != manifest.blocks.checksum:
        problems.append("the blocks are not those of the manifest: their checksums give another")
    return Verification(
        dataset=str(folder),
        fingerprint=manifest.fingerprint,
        blocks=len(blocks),
        spectra=manifest.rows,
        files=len(sizes),
        bytes=sum(sizes.values()),
        seconds=round(time.monotonic() - started, 3),
        problems=tuple(problems),
    )


def _wrong_records(folder: Location, manifest: Manifest) -> Iterator[str]:
    if folder.name != manifest.fingerprint and latest_in(folder.parent).exists():
        yield (  # a copy elsewhere may have any name
            f"the folder is named {folder.name}, its manifest {manifest.fingerprint}: it does not "
            "belong among the versions; move it away"
        )
    try:
        data = plan_in(folder).read_bytes()
        if data is None:
            yield "parts/plan.json is not there"
        elif parse_record(plan_in(folder), data, Plan) != manifest.plan:
            yield "parts/plan.json is not the plan of the manifest"
    except InputError as error:
        yield str(error)


def _wrong_files(folder: Location, manifest: Manifest) -> dict[str, str]:
    """Return what is wrong of metadata, coordinates and row variables, by the file's name."""
    expected = manifest.template | manifest.row_files
    found = arrays_in(folder).read_files(expected)
    wrong = {}
    for name, known in expected.items():
        if name not in found:
            wrong[name] = f"spectra.zarr/{name} is not there"
        elif digest(found[name]) != known:
            wrong[name] = f"spectra.zarr/{name} is not what was written"
    return wrong


def _block(
    folder: Location, plan: Plan, block: Block, sizes: dict[str, int], is_readable: bool
) -> tuple[str | None, str]:
    """Return a block's checksum as its record says, None without one, and what is wrong with it."""
    place = record_in(folder, block)
    if (data := place.read_bytes()) is None:
        return None, f"parts/{place.name} is not there"
    try:
        record = parse_block(folder, plan, block, data)
    except InputError as error:
        return None, str(error)
    for name, size in record.sizes.items():
        if sizes.get(name) != size:
            there = "is not there" if name not in sizes else f"has {sizes[name]} bytes, not {size}"
            return record.checksum, f"spectra.zarr/{name} {there}"
    if is_readable and not is_undamaged(folder, record):
        rows = f"rows {block.start} to {block.stop - 1} of {block.split!r}"
        return record.checksum, f"{rows} are not what was written"
    return record.checksum, ""
