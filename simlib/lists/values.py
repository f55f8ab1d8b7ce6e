"""The numbers of a list's columns, and every problem with them, row by row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from simlib.bounds import Bound
from simlib.errors import InputError, shown
from simlib.lists.cells import Cells
from simlib.text_files import number

MOST_TOLD = 40  # problems in one message
_EXACT = 2**53  # up to which float64 holds every whole number


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row."""

    row: int  # from 0
    place: str
    text: str

    def __str__(self) -> str:
        """Write it as it stands in a message."""
        return f"{self.place}: {self.text}"


def numbers_in(
    cells: Cells, column: int, bound: Bound, factor: float = 1.0
) -> tuple[np.ndarray, list[Problem]]:
    """Return a column as float64 times the factor, and what is wrong in it; NaN where it is."""
    values, problems = np.full(cells.count, np.nan), []
    name = cells.names[column]
    for row, cell in enumerate(cells.columns[column]):
        try:
            values[row] = factor * _number(cell)
        except ValueError as error:
            problems.append(Problem(row, cells.places[row], f"{name} is {error}"))
            continue
        if not bound.holds(values[row : row + 1]).all():
            value = values[row] / factor
            found = "not a number" if np.isnan(value) else f"{value:g} {bound.unit}".rstrip()
            if factor != 1.0:
                found = f"{value:g}, which is {values[row]:g} {bound.unit}".rstrip()
            told = f"{name} is {found}; it must lie in {bound}"
            problems.append(Problem(row, cells.places[row], told))
    return values, problems


def _number(cell: object) -> float:
    if cell is None:
        return np.nan
    if isinstance(cell, str):
        return number(cell)
    if isinstance(cell, (bool, np.bool_)) or not np.isscalar(cell):
        raise ValueError(f"{shown(cell)}, not a number")
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{shown(cell)}, not a number") from None


def kept(cells: Cells, column: int) -> np.ndarray:
    """Return a column as it is: whole numbers exactly, other numbers, or text."""
    values = list(cells.columns[column])
    if any(isinstance(value, str) for value in values):
        values = [None if value is None else str(value) for value in values]
    for kind, convert in ((np.int64, _whole), (np.float64, _real)):
        try:
            return np.array([convert(value) for value in values], dtype=kind)
        except (ValueError, TypeError, OverflowError):
            continue
    texts = np.empty(len(values), dtype=object)
    texts[:] = ["" if value is None else str(value) for value in values]
    return texts


def _whole(value: object) -> int:
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        if value != str(int(value)):
            raise ValueError("leading zeros are part of a name")
        return int(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"{value!r} is no whole number")


def _real(value: object) -> float:
    if value is None:
        return np.nan
    is_whole = isinstance(value, (int, np.integer)) or (
        isinstance(value, str) and value.isdecimal()
    )
    is_name = (
        isinstance(value, str) and value.startswith("0") and value.isdecimal() and value != "0"
    )
    if is_name or (is_whole and int(value) > _EXACT):  # type: ignore[call-overload]
        raise ValueError("a name of digits, or a number that float64 would change")
    if isinstance(value, str):
        return number(value)
    if isinstance(value, (float, int, np.floating, np.integer)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{value!r} is no number")


def refuse(path: str, general: Sequence[str], problems: Iterable[Problem] = ()) -> None:
    """Raise InputError with every problem of a list, if there is one."""
    told = [*general, *map(str, sorted(problems, key=lambda problem: problem.row))]
    if not told:
        return
    if len(told) == 1:
        raise InputError(f"{path}, {told[0]}" if not general else f"{path}: {told[0]}")
    more = [f"… and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
    lines = "\n  ".join([*told[:MOST_TOLD], *more])
    raise InputError(f"{path}: {len(told)} problems\n  {lines}")
