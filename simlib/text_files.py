"""Text files that a person gives: read whole and as UTF-8, or refused with file and place."""

import codecs
import errno
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from simlib.errors import InputError, shown
from simlib.location import Location

MOST_NESTED = 16  # levels of tables and lists; no key of ours lies deeper than five
_TOO_DEEP = f"nested too deeply; {MOST_NESTED} levels of tables and lists are allowed"
_INTEGERS = range(-(2**63), 2**63)  # what TOML promises
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive, as spreadsheets are: save it as CSV",
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"PAR1": "a Parquet table: save it as CSV, ECSV or FITS",
    b"\x89HDF": "an HDF5 file: save it as CSV, ECSV or FITS",
    b"%PDF": "a PDF document",
}
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def number(text: str) -> float:
    """Return a number as people write it; ValueError, saying what it is, for what is none.

    Python's own float() takes 1_2e2 and the digits of every script.
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    hint = f"; write a decimal point: {text.replace(',', '.')}" if _COMMA.fullmatch(text) else ""
    raise ValueError(f"{shown(text)}, not a number{hint}")


def read_text(path: str | Path | Location, what: str) -> str:
    """Return the text of a file, without a byte order mark, its lines ended by newlines.

    what: what the file is to the program, for the message. Raises InputError for a file that is
    not there, may not be read, is none (a folder, a pipe), or is not UTF-8 text.
    """
    return decoded(read_file(path, what), str(path))


def read_file(path: str | Path | Location, what: str) -> bytes:
    """Return the bytes of a file; InputError as `read_text` does where it cannot be read."""
    try:
        return _read_regular(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {what} {shown(str(path))}: {reason}") from None


def decoded(data: bytes, place: str) -> str:
    """Return bytes as text, without a byte order mark, its lines ended by newlines.

    place: where they stand, for the message. Raises InputError, naming the encoding that it seems
    to be, for what is not UTF-8.
    """
    for start, kind in _ARCHIVES.items():
        if data.startswith(start):
            raise InputError(f"{place} is {kind}; a text file, such as CSV, was expected")
    if encoding := _wide_encoding(data):
        raise InputError(f"{place}, line 1: this is {encoding} text; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise InputError(
            f"{place}, line {line}: byte 0x{byte:02x} is no UTF-8 text "
            f"({bytes([byte]).decode('latin-1')!r} in Latin-1); save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _wide_encoding(data: bytes) -> str | None:
    """Return the name of an encoding whose characters have two or four bytes, by its first ones."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    is_marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    head = data[:64]
    is_ascii_in_pairs = (
        len(head) > 1 and not len(head) % 2 and (not any(head[1::2]) or not any(head[::2]))
    )
    return "UTF-16" if is_marked or is_ascii_in_pairs else None


def _read_regular(path: str | Path | Location) -> bytes:
    if isinstance(path, Location) and not path.is_local:
        if (data := path.read_bytes()) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return data
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe nobody writes does not block
    with open(descriptor, "rb") as file:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise OSError(None, f"it is {_KINDS.get(kind, 'a device')}; a file was expected")
        return file.read()


def read_toml(path: str | Path | Location, what: str) -> dict[str, Any]:
    """Return the tables of a TOML file; see `read_text` and `parse_toml` for what is refused."""
    return parse_toml(read_text(path, what), str(path))


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return the tables of a TOML text; values are text, numbers, booleans, lists and tables.

    place: where it stands, for the message. Raises InputError for what is no TOML, is nested
    deeper than MOST_NESTED, or is a value that no key takes (see `refuse_odd_values`).
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{place}: {_TOO_DEEP}") from None
    except ValueError as error:  # of TOML's grammar, or a number that Python refuses to read
        raise InputError(f"{place} is not valid TOML: {str(error)[:200]}") from None
    refuse_odd_values(tables, place)
    return tables


def refuse_odd_values(value: Any, place: str, keys: tuple[str, ...] = ()) -> None:
    """Raise InputError, naming the key, for a value that is no use whatever the key is.

    That is: one nested too deeply, a date, an integer of more than 64 bits, a text that no file
    system and no UTF-8 file can hold.
    """
    reason = _TOO_DEEP if len(keys) > MOST_NESTED else _oddity(value)
    if reason:
        raise InputError(f"{place}: {'.'.join(keys)[:200]}: {reason}")
    items = value.items() if isinstance(value, dict) else enumerate(_items(value))
    for key, item in items:
        refuse_odd_values(item, place, (*keys, str(key)))


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _oddity(value: object) -> str | None:
    if isinstance(value, str):
        return None if _is_storable(value) else f"{shown(value)} holds a NUL or half a character"
    if isinstance(value, int):
        return None if value in _INTEGERS else "an integer has 64 bits at most"
    if isinstance(value, (float, dict, list)):
        return None
    return f"{value} is a date or time; no key takes one, text stands in quotes"


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
