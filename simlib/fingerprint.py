"""Fingerprints of plain data.

A fingerprint tells whether two things were made from the same figures. Only plain data is hashed
(numbers, text, lists, tables), never code objects: those change without a change of result.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash
from pydantic import BaseModel

DIGITS = 16


def plain(value: Any) -> Any:
    """Reduce models, tuples and NumPy scalars to what JSON can say."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return value


def fingerprint(*values: Any) -> str:
    """Return 16 hex digits that identify the values; key order does not matter.

    1 and 1.0 differ: the config models turn every number into its declared type beforehand.
    """
    text = json.dumps([plain(value) for value in values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def checksum(*arrays: np.ndarray) -> str:
    """Return 16 hex digits over dtype, shape and bytes of the arrays, in order."""
    return _fed(hashlib.sha256(), arrays)[:DIGITS]


def quick_checksum(*arrays: np.ndarray) -> str:
    """Return 32 hex digits over dtype, shape and bytes: against damage, at the memory's speed."""
    return _fed(xxhash.xxh3_128(), arrays)


def _fed(state: Any, arrays: Iterable[np.ndarray]) -> str:
    for array in arrays:
        contiguous = np.ascontiguousarray(array)
        state.update(f"{contiguous.dtype.str}{contiguous.shape}".encode())
        state.update(contiguous.data)
    digits: str = state.hexdigest()
    return digits


def digest(data: bytes | memoryview) -> str:
    """Return 16 hex digits over the bytes of a file."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]
