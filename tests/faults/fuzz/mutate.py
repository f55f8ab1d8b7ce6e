"""Damage: to the bytes of a file, to the numbers and lines of a text, to the values of a record.

Everything is drawn from the generator that is given, so that a seed makes the same damage again.
"""

import copy
import gzip
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e-300, 1e308,
    float("nan"), float("inf"), -float("inf"), "", " ", "nan", "0", "x" * 5000, "\0", "../..",
    "/dev/null", "é", "\ud800", "💥", [], {}, [[]], [1, 2], [1, "a", None], {"a": {"b": []}},
    ["x"] * 2000,
)  # fmt: skip
ODD_NUMBERS = (
    "", " ", "nan", "inf", "-inf", "-1", "-0.0", "0", "1e308", "1e999", "-1e999", "1e-400",
    "9" * 30, "9" * 400, "9" * 5000, "0x10", "1_0", "1,5", "1e", "--1", "true", "null", "٣", "½",
    '"', "'", "#", "1;2", "x" * 140_000,
)  # fmt: skip
ODD_BYTES = (
    b"", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b",", b"\t", b'"',
    b"'", b"[", b"]", b"{", b"}", b"=", b"#", b"[" * 3000, b"\x1f\x8b", b"BZh9", b"PK\x03\x04",
    b"\x80\x04",
)  # fmt: skip

_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")


def damaged(data: bytes, draw: Random, other: bytes = b"") -> bytes:
    """Return the bytes after one to three kinds of damage.

    other: a second file of the kind, to splice in.
    """
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = draw.choice(_DAMAGES)(data, draw, other)
    return data


def with_odd_number(data: bytes, draw: Random) -> bytes:
    """Return the text with one of its numbers replaced."""
    places = list(_NUMBER.finditer(data))
    if not places:
        return data
    place = draw.choice(places)
    return data[: place.start()] + draw.choice(ODD_NUMBERS).encode() + data[place.end() :]


def recoded(data: bytes, draw: Random) -> bytes:
    """Return the text in another encoding, or packed."""
    text = data.decode("utf-8", "replace")
    encode: Callable[[], bytes] = draw.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-32"),
            lambda: text.replace("e", "é", 1).encode("latin-1", "replace"),
            lambda: b"\xef\xbb\xbf\xef\xbb\xbf" + data,
            lambda: gzip.compress(data),
            lambda: text.encode("cp037", "replace"),
        )
    )
    return encode()


def _span(data: bytes, draw: Random, most: int = 64) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + draw.randint(1, most))


def _flip(data: bytes, draw: Random, _: bytes) -> bytes:
    changed = bytearray(data)
    for _bit in range(draw.choice((1, 1, 1, 8, 64))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(data: bytes, draw: Random, _: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _remove(data: bytes, draw: Random, _: bytes) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + data[stop:]


def _insert(data: bytes, draw: Random, _: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice((*ODD_BYTES, draw.randbytes(16))) + data[at:]


def _repeat(data: bytes, draw: Random, _: bytes) -> bytes:
    start, stop = _span(data, draw)
    return data[:stop] + data[start:stop] * draw.choice((1, 2, 50, 3000)) + data[stop:]


def _blank(data: bytes, draw: Random, _: bytes) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + bytes(stop - start) + data[stop:]


def _splice(data: bytes, draw: Random, other: bytes) -> bytes:
    start, stop = _span(other, draw, 400)
    at = draw.randrange(len(data) + 1)
    return data[:at] + other[start:stop] + data[at + draw.choice((0, stop - start)) :]


def _swap_lines(data: bytes, draw: Random, _: bytes) -> bytes:
    lines = data.split(b"\n")
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _drop_line(data: bytes, draw: Random, _: bytes) -> bytes:
    lines = data.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def _odd_number(data: bytes, draw: Random, _: bytes) -> bytes:
    return with_odd_number(data, draw)


_DAMAGES = (
    _flip, _cut, _remove, _insert, _repeat, _blank, _splice, _swap_lines, _drop_line, _odd_number,
)  # fmt: skip


def altered(record: Any, draw: Random) -> Any:
    """Return a record with one to three values wrong, missing, misnamed, nested or doubled."""
    record = copy.deepcopy(record)
    for _ in range(draw.choice((1, 1, 2, 3))):
        holder = draw.choice(_holders(record))
        key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        match draw.randrange(8):
            case 0 | 1 | 2:
                holder[key] = draw.choice(ODD_VALUES)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, dict):
                holder[f"{key}_"] = holder.pop(key)
            case 5:
                holder[key] = [holder[key]] * draw.choice((1, 2, 500))
            case 6:
                holder[key] = _nested(holder[key], draw.choice((20, 200, 3000)))
            case _:
                holder[key] = _near(holder[key], draw)
        if not _holders(record):
            break
    return record


def _holders(value: Any) -> list[Any]:
    """Return the record and all tables and lists in it that hold something."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (dict, list)) and item and len(found) < 500:
            found.append(item)
            waiting += item.values() if isinstance(item, dict) else item
    return found


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _near(value: Any, draw: Random) -> Any:
    """Return a value of the same kind that is not this one."""
    match value:
        case bool():
            return not value
        case int():
            return value + draw.choice((-1, 1, 1000))
        case float():
            return value * draw.choice((-1.0, 0.0, 1e6, 1.0000001))
        case str():
            return draw.choice((value + "x", value[:-1], value.upper(), value[::-1]))
        case _:
            return draw.choice(ODD_VALUES)


def as_json(record: Any) -> bytes:
    """Return the record as JSON, however odd: NaN, lone surrogates, any depth."""
    try:
        return json.dumps(record).encode()
    except (RecursionError, ValueError):  # deeper than Python writes, or an integer it does not
        return b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
