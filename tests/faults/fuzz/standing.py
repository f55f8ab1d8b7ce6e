"""Stores that stand: one file of them is broken at a time, and mended before the next."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from simlib.artifact import _digest
from tests.faults.fuzz.mutate import altered, as_json, damaged


@dataclass(frozen=True)
class Standing:
    """All files below a folder, as they were when they were right."""

    files: dict[Path, bytes]

    @classmethod
    def of(cls, folder: Path) -> "Standing":
        """Return the files as they are now."""
        return cls({p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})

    def mend(self) -> None:
        """Put all files back as they were."""
        for path, data in self.files.items():
            if not path.is_file() or path.read_bytes() != data:
                path.write_bytes(data)

    def chosen(self, draw: Random, pattern: str) -> tuple[Path, bytes]:
        """Return one of the files whose path ends with the pattern, and what it holds."""
        return draw.choice([item for item in self.files.items() if item[0].match(pattern)])


def broken_json(data: bytes, draw: Random) -> bytes:
    """Return a JSON file whose bytes are damaged, or whose values are wrong."""
    if draw.random() < 0.3:
        return damaged(data, draw, data)
    return as_json(altered(json.loads(data), draw))


def broken_record(data: bytes, draw: Random) -> bytes:
    """Return a broken record; half of those that are still tables are signed anew."""
    broken = broken_json(data, draw)
    return signed(broken) if draw.random() < 0.5 else broken


def signed(data: bytes) -> bytes:
    """Return a record with the digest of what it holds, where that can be."""
    try:
        value: dict[str, Any] = json.loads(data)
        value.pop("digest", None)
        return as_json(value | {"digest": _digest(value)})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data
