"""Build a dataset: one Dask task a block, resumable, published only when complete.

Recipe and plan reach a worker once, and a task carries a few numbers; workers open the stellar
grid and the terms themselves. The plan is written first and stands; a block's record is written
after the block. What a kill leaves is done again, and several builders make the same store.
"""

import logging
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client

from simlib.artifact import clear_leftovers, create_record, parse_record, write_record
from simlib.config import SimulationConfig
from simlib.dataset.agreement import difference_from, first_row_of
from simlib.dataset.damage import is_undamaged, require_agreement
from simlib.dataset.fan_out import fan_out
from simlib.dataset.layout import as_kept, block_files, checksum_of
from simlib.dataset.manifest import (
    Begun,
    Manifest,
    Summary,
    dataset_fingerprint,
    dataset_inputs,
    portable_config,
    summary_checksum,
)
from simlib.dataset.places import (
    arrays_in,
    begun_in,
    latest_in,
    manifest_in,
    plan_in,
    record_in,
)
from simlib.dataset.plan import Block, BlockRecord, Plan, encoded, make_plan
from simlib.dataset.publish import folder_of, is_published, publish
from simlib.dataset.rows import Recipe
from simlib.dataset.space import require_space, usual_need
from simlib.dataset.store import (
    kept_sizes,
    laid_out,
    missing_blocks,
    readable,
    readable_block,
    records_of,
    strays_in,
    usable,
    write_kept,
    write_row_variables,
    write_template,
)
from simlib.dataset.tasks import block_at, tasks_of
from simlib.dataset.watch import Patience
from simlib.dataset.worker import waiting
from simlib.errors import InputError
from simlib.fingerprint import plain
from simlib.location import Location, Place
from simlib.parameters import impossible_geometry
from simlib.physics import PHYSICS_VERSION
from simlib.provenance import arithmetic, provenance
from simlib.retry import persist
from simlib.unbuffered import Bytes

log = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]  # blocks done, blocks in all, spectra written now


def build_dataset(
    config: SimulationConfig,
    terms: Place,
    client: Client,
    progress: Progress | None = None,
    repair: bool = False,
    patience: Patience = Patience(),  # noqa: B008  frozen
) -> Location:
    """Simulate what is missing of the config's dataset, publish it, and return its folder.

    terms: the folder of the grid of terms. What stands of a store that is not published is read,
    every value of it, and made again where it is not as it was written. repair: also where it is
    published. patience: with workers that hang. Raises InputError for a config that cannot be
    simulated, OSError when the store cannot be written; finished blocks stay for the next run.
    """
    recipe = Recipe(config, Location.of(terms, config.storage.options))
    folder = persist("the stellar grid", lambda: folder_of(config))
    if not repair and persist("the dataset", lambda: is_published(folder, config)):
        _clear(folder)  # of one that was killed while another published the same
        return folder
    persist("the free space", lambda: require_space(config, folder, client))
    started = time.monotonic()
    plan, template = persist("the plan", lambda: begin(recipe, folder))
    if template:
        persist("the config", lambda: _tell_begun(recipe, folder))
        _simulate_blocks(recipe, folder, plan, client, progress, patience)
    seconds = time.monotonic() - started
    persist("the manifest", lambda: _finish(recipe, folder, plan, template, seconds))
    return folder


def begin(recipe: Recipe, folder: Location) -> tuple[Plan, dict[str, str]]:
    """Return the store's plan and the digests of its template, making an empty store first.

    One row is simulated first: it makes the shared set-up, and shows a config's mistakes before
    anything is written. No template where no spectra are to be stored. Raises InputError where
    another builder's first row is another.
    """
    example = recipe.rows(Block("train", 0, 1))
    standing = readable(manifest_in(folder), Manifest)
    plan = _plan(recipe.config, folder, standing, example)
    if off := difference_from(plan.first_row, example):
        raise InputError(
            f"{folder} was begun by {plan.first_row.arithmetic}; its first row made here, by "
            f"{arithmetic()}, differs by {off:.2g} (relative): go on with it there, or remove "
            "that folder and build it again"
        )
    is_stored = "stored" in (recipe.config.dataset.mode, standing.mode if standing else "")
    return plan, write_template(folder, plan, example) if is_stored else {}


def _tell_begun(recipe: Recipe, folder: Location) -> None:
    """Write what the store is made of, for whoever looks at it before it is complete."""
    begun = Begun(
        config=portable_config(recipe.config, folder), terms=recipe.terms.relative_to(folder)
    )
    if readable(begun_in(folder), Begun) != begun:
        write_record(begun_in(folder), begun)


def _plan(
    config: SimulationConfig, folder: Location, standing: Manifest | None, example: xr.Dataset
) -> Plan:
    """Return the plan of the store, which rules; where it is lost, what the store tells of it."""
    place = plan_in(folder)
    data = place.read_bytes()  # once: another builder may write it meanwhile
    held = None if data is None else usable(partial(parse_record, place, data, Plan))
    if standing is not None:
        if held != standing.plan:
            write_record(place, standing.plan)
        held = standing.plan
    if held is None:
        mine = make_plan(config.dataset, config.storage.codec, first_row_of(example))
        mine = laid_out(folder, mine, example) or mine
        if data is None:
            held = create_record(place, mine)
        else:  # damaged
            write_record(place, mine)
            held = mine
    if told := held.unlike(config):
        log.info("dataset %s  keeps its own plan: %s", folder, told)
    return held


def _simulate_blocks(
    recipe: Recipe,
    folder: Location,
    plan: Plan,
    client: Client,
    progress: Progress | None,
    patience: Patience,
) -> None:
    total = len(list(plan.blocks()))
    records = persist("the records", lambda: records_of(folder, plan))
    missing = persist("the store", lambda: missing_blocks(folder, plan, records))
    if len(missing) < total:  # what was written by others, or before a machine went down
        log.info("dataset %s  reading the %d blocks that stand", folder, total - len(missing))
        missing = _with_damaged(folder, plan, missing, client, patience)
    log.info("dataset %s  %d of %d blocks to do", folder, len(missing), total)
    number = total - len(missing)

    def told(rows: list[int]) -> None:
        nonlocal number
        for some in rows:
            number += 1
            if progress:
                progress(number, total, some)

    before = {b.name: records[b.name].checksum for b in missing if b.name in records}
    work = _Simulating(recipe, folder, plan, before)
    tasks = tasks_of(plan, missing)
    random.shuffle(tasks)  # builders at once share the work: few blocks are made by both
    fan_out(client, "simulate", _name_of(folder), work, tasks, patience, told)


@dataclass(frozen=True)
class _Simulating:
    """Blocks simulated and written, on a worker.

    before: the checksums in the records of damaged blocks.
    """

    recipe: Recipe
    folder: Location
    plan: Plan
    before: Mapping[str, str]

    def __call__(self, split: str, starts: tuple[int, ...]) -> list[int]:
        """Return the rows of each block."""
        *others, last = (block_at(self.plan, split, start) for start in starts)
        return [*(self._rows(block, nullcontext) for block in others), self._rows(last, waiting)]

    def _rows(self, block: Block, apart: Callable[[], AbstractContextManager[None]]) -> int:
        before = None
        if (checksum := self.before.get(block.name)) is not None:
            standing = persist(
                f"the record of {block.name}",
                partial(readable_block, self.folder, self.plan, block),
            )
            before = standing if standing and standing.checksum == checksum else None
        record = simulate_block(self.recipe, self.folder, self.plan, block, before, apart)
        return record.stop - record.start


@dataclass(frozen=True)
class _Checking:
    """Blocks read and compared with their records, on a worker."""

    folder: Location
    plan: Plan

    def __call__(self, split: str, starts: tuple[int, ...]) -> list[Block]:
        """Return the damaged ones."""
        blocks = (block_at(self.plan, split, start) for start in starts)
        return [b for b in blocks if not persist(f"block {b.name}", partial(self._is_good, b))]

    def _is_good(self, block: Block) -> bool:
        record = readable_block(self.folder, self.plan, block)
        return record is not None and is_undamaged(self.folder, record)


def _name_of(folder: Location) -> str:
    """Return what a person knows a dataset by, on a dashboard."""
    return f"{folder.parent.name}-{folder.name[:8]}"


def _with_damaged(
    folder: Location,
    plan: Plan,
    missing: list[Block],
    client: Client,
    patience: Patience,
) -> list[Block]:
    """Return the missing blocks and those whose values are not what was written."""
    bad = set(missing)
    there = tasks_of(plan, [block for block in plan.blocks() if block not in bad])
    work = _Checking(folder, plan)
    fan_out(client, "check", _name_of(folder), work, there, patience, bad.update)
    return [block for block in plan.blocks() if block in bad]


def simulate_block(
    recipe: Recipe,
    folder: Location,
    plan: Plan,
    block: Block,
    before: BlockRecord | None,
    apart: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> BlockRecord:
    """Simulate one block, write it, and return its record (this is what a worker runs).

    before: the record of a block that was damaged; what can be read of it must come out again.
    apart: in what the block is written, when nothing of it is left to compute.
    """
    attempt = partial(_one_block, recipe, folder, plan, block, before, apart)
    return persist(f"block {block.name}", attempt)


def _one_block(
    recipe: Recipe,
    folder: Location,
    plan: Plan,
    block: Block,
    before: BlockRecord | None,
    apart: Callable[[], AbstractContextManager[None]],
) -> BlockRecord:
    standing = readable_block(folder, plan, block)
    if standing is not None and standing != before:
        return standing  # another builder was here
    draft, files = _packed(recipe, folder, plan, block, before)
    with apart():
        started = time.monotonic()
        write_kept(arrays_in(folder), files)
        seconds = draft.seconds_writing + time.monotonic() - started
        record = draft.model_copy(update={"seconds_writing": round(seconds, 3)})
        write_record(record_in(folder, block), record)
    return record


def _packed(
    recipe: Recipe, folder: Location, plan: Plan, block: Block, before: BlockRecord | None
) -> tuple[BlockRecord, dict[str, Bytes]]:
    """Return the record of a block that is not written yet, and its files by name."""
    started = time.monotonic()
    spectra = recipe.rows(block)
    if dataset_fingerprint(recipe.config, recipe.grid) != folder.name:
        raise InputError(
            f"the stellar grid {recipe.config.stellar.grid!r} was replaced while {folder} was "
            "built; run the command again: what is there now makes another dataset"
        )
    computed, values = time.monotonic(), as_kept(spectra)
    if before is not None:
        require_agreement(folder, before, values)
    files = block_files(plan, block, values)
    record = BlockRecord(
        split=block.split,
        start=block.start,
        stop=block.stop,
        checksum=checksum_of(values),
        sizes={name: len(data) for name, data in files.items()},
        arithmetic=arithmetic(),
        impossible_geometries=int(impossible_geometry(spectra).sum()),
        pixels_above_one=int(np.count_nonzero(values["flux"] > 1.0)),
        seconds_computing=round(computed - started, 3),
        seconds_writing=time.monotonic() - computed,
        host=socket.gethostname(),
        snr=encoded(values["snr"]),
        flux_scale=encoded(values["flux_scale"]),
    )
    return record, files


def _finish(
    recipe: Recipe, folder: Location, plan: Plan, template: dict[str, str], seconds: float
) -> None:
    """Write the manifest, which publishes the dataset, once every block has its record.

    template: none where no spectra are stored.
    """
    records = records_of(folder, plan) if template else {}
    if template and (absent := missing_blocks(folder, plan, records)):
        raise InputError(
            f"{folder}: {absent[0].name} was written and is not there any more; see that nothing "
            "removes what is there, and run the command again: it goes on with the rest"
        )
    row_files = write_row_variables(folder, plan, records, recipe.drawn) if template else {}
    for name in strays_in(plan, [*template, *row_files], kept_sizes(folder)) if template else ():
        log.warning("%s/%s belongs to nothing and is removed", arrays_in(folder), name)
        (arrays_in(folder) / name).remove()
    makers = {plan.first_row.arithmetic, *(record.arithmetic for record in records.values())}
    manifest = Manifest(
        fingerprint=folder.name,
        mode="stored" if template else recipe.config.dataset.mode,
        physics_version=PHYSICS_VERSION,
        inputs=dataset_inputs(recipe.config, recipe.grid),
        plan=plan,
        rows=sum(plan.rows.values()),
        config=portable_config(recipe.config, folder),
        terms=recipe.terms.relative_to(folder),
        stellar_grid=grid_provenance(recipe.grid),
        arithmetic=tuple(sorted(makers)),
        template=template,
        row_files=row_files,
        blocks=_summary(recipe.config, folder, plan, records) if template else None,
        seconds=round(seconds, 3),
        provenance=provenance(),
    )
    _clear(folder)  # a kill after a block's last file took its place leaves an empty folder
    publish(folder, manifest)


def _clear(folder: Location) -> None:
    """Remove what builders that were killed left half-written: who comes later writes less."""
    if folder.is_local:
        for place in (folder, folder / "parts"):
            clear_leftovers(place.path)
        latest = latest_in(folder.parent)
        clear_leftovers(latest.parent.path, latest.name)


def _summary(
    config: SimulationConfig, folder: Location, plan: Plan, records: dict[str, BlockRecord]
) -> Summary:
    """Return what the records of all blocks say together."""
    sizes = kept_sizes(folder)
    planned_bytes, planned_seconds = usual_need(
        config, sum(plan.rows.values()), len(records), plan.codec
    )
    spent = sum(record.seconds_computing + record.seconds_writing for record in records.values())
    impossible = sum(record.impossible_geometries for record in records.values())
    return Summary(
        checksum=summary_checksum([records[block.name].checksum for block in plan.blocks()]),
        fraction_impossible_geometries=impossible / sum(plan.rows.values()),
        pixels_above_one=sum(record.pixels_above_one for record in records.values()),
        files=len(sizes),
        bytes=sum(sizes.values()),
        planned_bytes=planned_bytes,
        core_seconds=round(spent, 3),
        planned_core_seconds=round(planned_seconds, 3),
    )


def grid_provenance(grid: xr.Dataset) -> dict[str, Any]:
    """Return what a stellar grid says of itself, as plain text and numbers."""
    told: dict[str, Any] = plain(dict(grid.attrs))
    return {key: value for key, value in told.items() if isinstance(value, (str, int, float))}
