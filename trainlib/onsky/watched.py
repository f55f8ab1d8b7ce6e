"""What is recorded of a watched file: how it was when it was read, and what was made of it."""

import math
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from simlib.artifact import Record
from simlib.errors import InputError
from simlib.spectra.arrays import numbers
from simlib.spectra.fits_file import column, names, opened
from simlib.spectra.read import Contents
from trainlib.onsky.answers import empty_row
from trainlib.onsky.summary import printable

Row = dict[str, Any]


class Watched(Record):
    """What is recorded of a file: what it was when it was read, and what was made of it.

    rows: of the table; what has no value is left out. stars: that it holds a visit of. seconds: of
    its exposure. exposures: in a stack.
    """

    remedy: ClassVar[str] = "remove it, and the file is denoised again"
    bundle: str
    size: int
    written_ns: int
    output: str
    rows: list[dict[str, Any]]
    stars: list[str]
    exposures: int = 1
    seconds: float | None = None


def exposure_seconds(contents: Contents) -> float:
    """Return how long a visit was exposed, NaN where its file does not say it."""
    if contents.fits is None:
        return math.nan
    with suppress(InputError, ValueError, TypeError), opened(contents.fits) as hdus:
        if "OBSERVATIONS" in names(hdus):
            return float(np.median(numbers(column(hdus["OBSERVATIONS"], "exptime"), "times")))
        return float(hdus[0].header.get("EXPTIME", math.nan))
    return math.nan


def without_blanks(row: Row) -> dict[str, Any]:
    """Return a row for a record: JSON knows no NaN, and no infinity but as text."""
    return {name: _of_json(value) for name, value in row.items() if not _is_nan(value)}


def _is_nan(value: Any) -> bool:
    first = value[0] if isinstance(value, tuple) else value
    return isinstance(first, float) and math.isnan(first)


def _of_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str):
        return printable(value)
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def rows_of(record: Watched) -> tuple[Row, ...]:
    """Return the rows that a record holds, as they were."""
    blanks = empty_row()
    return tuple(
        blanks | {name: _as_it_was(value, blanks.get(name)) for name, value in row.items()}
        for row in record.rows
    )


def _as_it_was(value: Any, blank: Any) -> Any:
    if isinstance(blank, tuple):
        return tuple(value)
    return float(value) if isinstance(blank, float) else value
