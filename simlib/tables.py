"""CSV tables: `#` comment lines, one header line, one row a line. The only reader of them.

Every mistake in a table is told with the file, the row and the line.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from simlib.bounds import FINITE, WAVELENGTH, Bound, refuse_out_of_bounds
from simlib.errors import InputError, shown
from simlib.text_files import read_text

_END = "end"  # a column put behind every line, to see where it ends


@dataclass(frozen=True, eq=False)
class Columns:
    """A CSV file as text: the names of its columns, its rows, and the line of each."""

    path: str
    names: list[str]
    rows: pd.DataFrame  # text, a column a name, in order
    lines: list[int]
    comments: tuple[str, ...]

    def place(self, row: int) -> str:
        """Say where a row is."""
        return f"{self.path}, row {row + 1} (line {self.lines[row]})"

    def texts(self, column: str) -> list[str]:
        """Return a column as text, without the blanks around it."""
        return [text.strip() for text in self.rows.iloc[:, self.names.index(column)]]

    def numbers(self, column: str, bound: Bound = FINITE) -> np.ndarray:
        """Return a column as float64, every value within the bound; InputError otherwise."""
        values = np.empty(len(self.lines))
        for row, text in enumerate(self.texts(column)):
            try:
                values[row] = float(text) if text else np.nan
            except ValueError:
                raise InputError(
                    f"{self.place(row)}: {column} is {shown(text)}, not a number"
                ) from None
        refuse_out_of_bounds(column, values, bound, self.place)
        return values


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers, and the comment lines that stood above them."""

    columns: dict[str, np.ndarray]
    comments: tuple[str, ...] = ()

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


def read_columns(path: str | Path, what: str, needed: Iterable[str]) -> Columns:
    """Return the columns of a CSV file as text; others than those needed are read too.

    what: what the file is to the program, for the message. Raises InputError for a file that is
    no UTF-8 text, has no rows, lacks a column or has it twice, or has a row of another length.
    """
    return parse_columns(read_text(path, what), str(path), needed)


def parse_columns(text: str, place: str, needed: Iterable[str] = ()) -> Columns:
    """Return the columns of a CSV table as text. place: what it is from, for the message.

    Raises InputError as `read_columns` does.
    """
    numbered = enumerate(text.split("\n"), start=1)
    filled = [(number, line) for number, line in numbered if line.strip()]
    comments = tuple(line.strip() for _, line in filled if _is_comment(line))
    lines = [number for number, line in filled if not _is_comment(line)]
    body = [line for _, line in filled if not _is_comment(line)]
    if len(body) < 2:
        raise InputError(f"{place}: no rows; a header line and rows below it were expected")
    frame = _split(place, body, lines)
    names = [name.strip() for name in frame.iloc[0]]
    _refuse_names(f"{place}, line {lines[0]}", names, needed)
    return Columns(place, names, frame.iloc[1:], lines[1:], comments)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _split(path: str, body: list[str], lines: list[int]) -> pd.DataFrame:
    """Return the values of every line, the header's first; all of one length."""
    try:
        frame = pd.read_csv(
            StringIO("\n".join(f"{line},{_END}" for line in body)),
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except pd.errors.ParserError as error:
        raise InputError(f"{path}{_explained(str(error), lines)}") from None
    if len(frame) != len(body):
        row = int(np.argmax(frame.apply(lambda c: c.str.contains("\n")).any(axis=1)))
        raise InputError(f"{path}, line {lines[row]}: a quoted value runs over the line's end")
    short = np.flatnonzero(frame.iloc[:, -1] != _END)  # pandas fills them up without a word
    if short.size:
        found, expected = int(np.argmax(frame.iloc[short[0]] == _END)), frame.shape[1] - 1
        raise InputError(f"{path}, line {lines[short[0]]}: {_another_length(found, expected)}")
    return frame.iloc[:, :-1]


def _explained(error: str, lines: list[int]) -> str:
    """Say with the file's own lines what pandas says of the lines that it was given."""
    if match := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error):
        expected, line, found = map(int, match.groups())
        return f", line {lines[line - 1]}: {_another_length(found - 1, expected - 1)}"
    if match := re.search(r"EOF inside string starting at row (\d+)", error):
        return f", line {lines[int(match[1])]}: a quote begins that does not end"
    return f" is no CSV table: {error.strip()[:200]}"


def _another_length(found: int, expected: int) -> str:
    return f"{found} values, the header names {expected}"


def _refuse_names(place: str, names: list[str], needed: Iterable[str]) -> None:
    needed = tuple(needed)
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"{place}: missing column {', '.join(missing)}; found {', '.join(names)[:200]}; "
            f"needed {', '.join(needed)}"
        )
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise InputError(f"{place}: column {', '.join(twice[:5])} twice; remove one")


def read_table(
    path: str | Path, columns: Mapping[str, Bound] | tuple[str, ...], what: str = "table"
) -> Table:
    """Return the named columns of a CSV table, float64, in file order.

    columns: their names, or names with what the numbers may be; finite otherwise.
    Raises InputError as `read_columns` does, and for a value that is no number or out of bounds.
    """
    bounds = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, FINITE)
    found = read_columns(path, what, bounds)
    return Table({c: found.numbers(c, bound) for c, bound in bounds.items()}, found.comments)


def read_curve(path: str | Path, column: str, bound: Bound = FINITE, what: str = "table") -> Table:
    """Return a table of one column over `wavelength_nm`, increasing; it may run downwards."""
    table = read_table(path, {"wavelength_nm": WAVELENGTH, column: bound}, what)
    steps = np.diff(table["wavelength_nm"])
    if steps.size and np.all(steps < 0):
        return Table({k: v[::-1].copy() for k, v in table.columns.items()}, table.comments)
    if not np.all(steps > 0):
        at = int(np.argmax(steps <= 0)) + 1
        raise InputError(
            f"{path}: wavelength_nm does not increase at row {at + 1} "
            f"({table['wavelength_nm'][at]:g} after {table['wavelength_nm'][at - 1]:g}); sort it"
        )
    return table


def file_digests(folder: str | Path, pattern: str) -> tuple[tuple[str, str], ...]:
    """Return name and SHA-256 of the files of a folder: whether one was changed since."""
    found = [path for path in sorted(Path(folder).glob(pattern)) if path.is_file()]
    return tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in found)
