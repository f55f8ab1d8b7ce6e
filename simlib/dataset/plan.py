"""Which rows make a block, and what is recorded of a store while it is made.

A block is the unit of work, of retry and of resume: whole or absent. Block edges are shard edges,
so that no two writers ever touch the same file.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from simlib.artifact import Record
from simlib.config import Dataset
from simlib.dataset.agreement import FirstRow
from simlib.errors import InputError

# What can be done where something of a dataset is damaged or gone.
REPAIR = "run `specdenoise build CONFIG --repair`, which makes it again"

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

    remedy: ClassVar[str] = "remove the folder of this dataset and build it again"
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


class BlockRecord(Record):
    """What is known of a finished block; it is written after the block's files.

    checksum: of all values. sizes: bytes of each file, by its name in the store of arrays.
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


def make_plan(dataset: Dataset, codec: Literal["lz4", "zstd", "none"], first_row: FirstRow) -> Plan:
    """Return the plan of a new store; InputError when chunks do not divide blocks."""
    if dataset.block % dataset.chunk:
        raise InputError(
            f"dataset.chunk = {dataset.chunk} does not divide dataset.block = {dataset.block}; "
            f"set dataset.chunk to a divisor such as {_divisor(dataset.block, dataset.chunk)}"
        )
    counts = {"train": dataset.n_train, "validation": dataset.n_validation, "test": dataset.n_test}
    rows = {split: count for split, count in counts.items() if count}
    return Plan(
        rows=rows, block=dataset.block, chunk=dataset.chunk, codec=codec, first_row=first_row
    )


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
