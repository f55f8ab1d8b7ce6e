"""Which rows make a block, and what is recorded of a store while it is made.

A block is the unit of work, of retry and of resume: whole or absent. Block edges are shard edges,
so that no two writers ever touch the same file.
"""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Base64UrlBytes, Field, NonNegativeInt, PositiveInt

from simlib.artifact import Record
from simlib.config import Dataset, SimulationConfig
from simlib.dataset.agreement import FirstRow
from simlib.errors import InputError

# What can be done where something of a dataset is damaged or gone.
REPAIR = "run `specdenoise build CONFIG --repair`, which makes it again"

SIMULATED = ("snr", "flux_scale")  # of the variables with one value a row, those not drawn

MOST_TASKS = 20_000  # of one build: a scheduler holds some kB of each, and looks at all
_STEP, _USUAL, _LARGEST = 1024, 4096, 8192  # rows of a block
_FEWEST = 64  # blocks of what is not small: as many as can be shared evenly by some workers
_SPLITS = 3  # the last block of each is a part of one

SplitName = Annotated[str, Field(pattern=r"^(train|validation|test)$")]


@dataclass(frozen=True)
class Block:
    """Rows start … stop - 1 of a split."""

    split: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Return the name of its record."""
        return f"{self.split}-{self.start:08d}"


class Plan(Record):
    """How a store is cut: rows of each split, rows of a block (= shard) and of a chunk.

    It is written before anything else, once; whoever goes on with the store follows it.
    """

    remedy: ClassVar[str] = REPAIR
    rows: dict[SplitName, PositiveInt]
    block: PositiveInt
    chunk: PositiveInt
    codec: Literal["lz4", "zstd", "none"]
    first_row: FirstRow

    def blocks(self) -> Iterator[Block]:
        """Yield every block, in order."""
        for split, rows in self.rows.items():
            for start in range(0, rows, self.block):
                yield Block(split, start, min(start + self.block, rows))

    def unlike(self, config: SimulationConfig) -> str:
        """Return what of it a config would have otherwise, in words; nothing where nothing is."""
        asked = {
            "dataset.block": (self.block, config.dataset.block),
            "dataset.chunk": (self.chunk, config.dataset.chunk),
            "storage.codec": (self.codec, config.storage.codec),
        }
        return ", ".join(
            f"{key} = {mine} (asked: {other}, which only a new dataset would have)"
            for key, (mine, other) in asked.items()
            if other not in ("auto", mine)
        )


class BlockRecord(Record):
    """What is known of a finished block; it is written after the block's files.

    checksum: of all that was simulated. sizes: bytes of each file, by its name below the arrays.
    snr, flux_scale: of its rows, little-endian float32; all else of a row follows from the draw.
    """

    remedy: ClassVar[str] = REPAIR
    split: SplitName
    start: NonNegativeInt
    stop: PositiveInt
    checksum: str
    sizes: dict[str, int]
    arithmetic: str
    impossible_geometries: NonNegativeInt
    pixels_above_one: NonNegativeInt
    seconds_computing: float
    seconds_writing: float
    host: str
    snr: Base64UrlBytes
    flux_scale: Base64UrlBytes

    def simulated(self) -> dict[str, np.ndarray]:
        """Return what only the simulation tells of a row, float32, one value a row."""
        return {name: np.frombuffer(getattr(self, name), "<f4") for name in SIMULATED}


def encoded(values: np.ndarray) -> bytes:
    """Return one value a row as a record takes them."""
    return base64.urlsafe_b64encode(values.astype("<f4").tobytes())


def make_plan(dataset: Dataset, codec: Literal["lz4", "zstd", "none"], first_row: FirstRow) -> Plan:
    """Return the plan of a new store; InputError when chunks do not divide blocks."""
    rows, block = cut_of(dataset)
    return Plan(rows=rows, block=block, chunk=dataset.chunk, codec=codec, first_row=first_row)


def cut_of(dataset: Dataset) -> tuple[dict[str, int], int]:
    """Return the rows of each split that there is, and the rows of a block of a new store.

    Raises InputError when chunks do not divide blocks.
    """
    counts = {"train": dataset.n_train, "validation": dataset.n_validation, "test": dataset.n_test}
    rows = {split: count for split, count in counts.items() if count}
    block = automatic_block(sum(rows.values())) if dataset.block == "auto" else dataset.block
    if block % dataset.chunk:
        raise InputError(
            f"dataset.chunk = {dataset.chunk} does not divide dataset.block = {block}; "
            f"set dataset.chunk to a divisor such as {_divisor(block, dataset.chunk)}"
        )
    return rows, block


def automatic_block(rows: int) -> int:
    """Return the rows of a block of a dataset of so many: few tasks, and little memory each.

    A multiple of 1024. Larger blocks take less time, for what each takes whatever its rows, as long
    as they are enough to be shared; from 4096 on there is little to gain, and more only where the
    blocks would be more than the tasks a scheduler takes well. Never so many that a worker's 2 GB
    do not hold them several times.
    """
    shared = min(rows // (_STEP * _FEWEST), _USUAL // _STEP)
    needed = -(-rows // (_STEP * (MOST_TASKS - _SPLITS)))
    return min(_STEP * max(shared, needed, 1), _LARGEST)


def rows_of(key: Any, count: int) -> np.ndarray:
    """Return the numbers of the rows that a key of NumPy's takes of `count`; () for one row.

    key: a number, a slice, or numbers. IndexError for a row that there is not.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(count))
    rows = np.asarray(key)
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {count}")
    return np.where(rows < 0, rows + count, rows)


def _divisor(block: int, near: int) -> int:
    small = [n for n in range(1, math.isqrt(block) + 1) if block % n == 0]
    return max(n for n in (*small, *(block // n for n in small)) if n <= near)
