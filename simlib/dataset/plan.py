"""Which rows make a block, and where a dataset lives.

A block is the unit of work, of retry and of resume: whole or absent. Block edges are shard edges,
so that no two writers ever touch the same file.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from simlib.config import Dataset
from simlib.errors import InputError
from simlib.storage import join

FORMAT_VERSION = 1


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


@dataclass(frozen=True)
class Plan:
    """How a store is cut: rows of each split, rows of a block (= shard) and of a chunk."""

    rows: dict[str, int]
    block: int
    chunk: int
    codec: str

    def blocks(self) -> Iterator[Block]:
        """Yield every block, in order."""
        for split, rows in self.rows.items():
            for start in range(0, rows, self.block):
                yield Block(split, start, min(start + self.block, rows))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `Plan.from_dict`."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @staticmethod
    def from_dict(record: dict[str, Any]) -> "Plan":
        """Return the plan kept in a store; InputError for one of another format."""
        if record.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"the dataset has format {record.get('format_version')}, this version reads "
                f"format {FORMAT_VERSION}; build it again"
            )
        return Plan(record["rows"], record["block"], record["chunk"], record["codec"])


def make_plan(dataset: Dataset, codec: str) -> Plan:
    """Return the plan of a new store; InputError when chunks do not divide blocks."""
    if dataset.block % dataset.chunk:
        raise InputError(
            f"dataset.chunk = {dataset.chunk} does not divide dataset.block = {dataset.block}; "
            f"set dataset.chunk to a divisor such as {_divisor(dataset.block, dataset.chunk)}"
        )
    counts = {"train": dataset.n_train, "validation": dataset.n_validation, "test": dataset.n_test}
    rows = {split: count for split, count in counts.items() if count}
    return Plan(rows, dataset.block, dataset.chunk, codec)


def _divisor(block: int, near: int) -> int:
    small = [n for n in range(1, math.isqrt(block) + 1) if block % n == 0]
    return max(n for n in (*small, *(block // n for n in small)) if n <= near)


def dataset_folder(root: str, name: str, fingerprint: str = "") -> str:
    """Return the folder of a dataset, or of all its versions."""
    return join(root, "datasets", name, *([fingerprint] if fingerprint else []))
