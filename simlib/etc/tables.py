"""Read the CSV tables of the calculator: `#` comment lines, one header line, numbers.

Every mistake in a table is told with the file and the line.
"""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np

from simlib.errors import InputError

EMBEDDED = resources.files("simlib") / "etc" / "data"


class Readable(Protocol):
    """A file on disk or inside the package."""

    def read_text(self, encoding: str) -> str: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers, and the comment lines that stood above them."""

    columns: dict[str, np.ndarray]
    comments: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column, float64."""
        return self.columns[name]

    def stated(self, key: str) -> str | None:
        """Return what a comment line `# key: value` says, or None."""
        for line in self.comments:
            name, colon, value = line.lstrip("# ").partition(":")
            if colon and name.strip().lower() == key:
                return value.strip()
        return None


def embedded(name: str, *columns: str) -> Table:
    """Return a table shipped with the calculator."""
    return read_table(EMBEDDED / name, columns, name)


def read_table(path: Readable, columns: tuple[str, ...], name: str | None = None) -> Table:
    """Return the named columns of a CSV table, float64, in file order.

    Raises InputError (file, line) for a missing column, a row of another length, a value that is
    no finite number, or a file without rows.
    """
    name = name or str(path)
    lines = _read_lines(path, name)
    comments = tuple(line for _, line in lines if line.startswith("#"))
    body = [(number, line) for number, line in lines if not line.startswith("#")]
    if len(body) < 2:
        raise InputError(f"{name}: no rows; a header line and rows of numbers were expected")
    (header_number, header), *rows = body
    names = [part.strip() for part in header.split(",")]
    missing = [column for column in columns if column not in names]
    if missing:
        raise InputError(
            f"{name}, line {header_number}: no column {', '.join(missing)}; "
            f"found {', '.join(names)}; expected {', '.join(columns)}"
        )
    values = np.array([_numbers(name, number, row, len(names)) for number, row in rows])
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        number, row = rows[bad[0]]
        raise InputError(f"{name}, line {number}: a value is not finite in {row[:60]!r}")
    return Table({c: np.ascontiguousarray(values[:, names.index(c)]) for c in columns}, comments)


def read_curve(path: Readable, column: str, name: str | None = None) -> Table:
    """Return a table of one column over `wavelength_nm`, which must increase."""
    table = read_table(path, ("wavelength_nm", column), name)
    steps = np.diff(table["wavelength_nm"])
    if np.all(steps < 0):  # a table that runs downwards is a table all the same
        return Table({k: v[::-1].copy() for k, v in table.columns.items()}, table.comments)
    if not np.all(steps > 0):
        at = int(np.argmax(steps <= 0)) + 1
        raise InputError(
            f"{name or path}: wavelength_nm does not increase at row {at + 1} "
            f"({table['wavelength_nm'][at]:g} after {table['wavelength_nm'][at - 1]:g}); sort it"
        )
    return table


def _read_lines(path: Readable, name: str) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{name}: no such table") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read as a text table ({error})") from None
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line]


def _numbers(name: str, number: int, row: str, length: int) -> list[float]:
    parts = row.split(",")
    if len(parts) != length:
        raise InputError(
            f"{name}, line {number}: {len(parts)} values, the header names {length}: {row[:60]!r}"
        )
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise InputError(f"{name}, line {number}: not a number in {row[:60]!r}") from None


def file_stamps(folder: str | Path, pattern: str) -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of the files: whether they were edited since."""
    found = ((path.name, path.stat()) for path in sorted(Path(folder).glob(pattern)))
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


def folder_of(path: str | Path) -> Path:
    """Return the folder of a person's tables, or raise InputError."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no folder of sky tables at {str(path)!r}")
    return folder
