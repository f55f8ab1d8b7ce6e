"""What became of all files of a batch: as ECSV and Parquet for programs, as a page for people."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
import yaml

from simlib.artifact import write_bytes
from simlib.location import Location
from simlib.words import counted
from trainlib.onsky.answers import COLUMNS, REFUSED
from trainlib.onsky.starts import STARTS, starting_values

SUMMARY, PARQUET, PAGE = "summary.ecsv", "summary.parquet", "summary.html"
TABLES = (SUMMARY, PARQUET, PAGE, STARTS)  # all that stands beside the outputs
PLOTS = "plots"  # the folder of pictures
_OF_FILES = {
    "file": ("", "as it was given"),
    "output": ("", "beside this table"),
    "plot": ("", "picture of it, beside this table"),
}
_TOLD = {**_OF_FILES, **COLUMNS}
_KINDS = {float: "float64", int: "int64"}  # what else a row holds is text in an ECSV
_ONE_LINE = 10_000  # letters: a column's line is never broken
_LONGEST = 1000  # letters of a message in the table
_MOST_HELD = 32 << 20  # bytes of pictures that the page itself holds; more stand beside it

Row = Mapping[str, Any]
Tables = dict[str, bytes]  # by the names of TABLES


@dataclass(frozen=True, eq=False)
class FileDone:
    """A file that was given. written: what was made of it, None where nothing was.

    rows: of the table, one a spectrum, or one that says why the file was refused.
    """

    place: Location
    written: Location | None
    rows: tuple[dict[str, Any], ...]

    @property
    def message(self) -> str:
        """Return why the file was refused, empty where it was not."""
        return "" if self.written else str(self.rows[0]["message"])

    @property
    def refusals(self) -> tuple[str, ...]:
        """Return why the file, or those of its spectra without an answer, were refused."""
        return tuple(str(row["message"]) for row in self.rows if row["verdict"] == REFUSED)


def write_tables(out: Location, tables: Tables) -> None:
    """Write tables and page over all files into the folder of their outputs."""
    for name, data in tables.items():
        write_bytes(out / name, data)


def tables_of(
    out: Location, done: Sequence[FileDone], bundle: str, *, refresh_s: int | None = None
) -> Tables:
    """Return tables and page over all files, by name, in the order in which they are written.

    bundle: its fingerprint. refresh_s: see `page.batch_page`; such a page holds no pictures itself.
    """
    from trainlib.onsky.page import batch_page  # noqa: PLC0415  (loads jinja2)

    rows = [row for one in done for row in _rows(out, one)]
    pictures = {} if refresh_s else _pictures(out, rows)
    good = sum(row["verdict"] == "good" for row in rows)
    page = batch_page(
        rows,
        pictures,
        title=f"{counted(len(rows), 'spectrum', 'spectra')} denoised: {out.name}",
        lead=f"{counted(len(done), 'file')}; {good} of {len(rows)} {'is' if good == 1 else 'are'} "
        f"good. Bundle {bundle}.",
        refresh_s=refresh_s,
    )
    return {
        PARQUET: _parquet(rows),
        STARTS: starting_values(rows),
        PAGE: page.encode(),
        SUMMARY: _ecsv(rows),
    }


def _rows(out: Location, done: FileDone) -> list[dict[str, Any]]:
    """Return rows of the table; texts on one line, without what no file can hold."""
    of_file = {
        "file": str(done.place),
        "output": done.written.relative_to(out) if done.written else "",
        "plot": "",
    }
    told = [of_file | row for row in done.rows]
    return [{name: _plain(name, row[name]) for name in _TOLD} for row in told]


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return printable(value)[: _LONGEST if name == "message" else None]


def _pictures(out: Location, rows: Sequence[Row]) -> dict[str, bytes]:
    """Return the pictures that a page may hold: all or none."""
    names = [row["plot"] for row in rows if row["plot"]]
    if not names:
        return {}
    sizes = out.sizes()
    if sum(sizes.get(name, 0) for name in names) > _MOST_HELD:
        return {}
    return out.read_files(names)


def _ecsv(rows: Sequence[Row]) -> bytes:
    """Return the table as ECSV; astropy takes long, and a third of a second to load."""
    columns: list[dict[str, str]] = []
    for name, (unit, meaning) in _TOLD.items():
        value = rows[0][name] if rows else math.nan
        columns.append({"name": name} | ({"unit": unit.replace("/", " / ")} if unit else {}))
        columns[-1] |= {"datatype": _KINDS.get(type(value), "string"), "description": meaning}
        if isinstance(value, tuple):
            columns[-1]["subtype"] = f"float64[{len(value)}]"
    told = {"datatype": columns, "schema": "astropy-2.0"}
    head = yaml.safe_dump(told, sort_keys=False, default_flow_style=None, width=_ONE_LINE)
    lines = map(
        " ".join, zip(*(_cells([row[name] for row in rows]) for name in _TOLD), strict=True)
    )
    begin = (f"# {line}" for line in ("%ECSV 1.0", "---", *head.splitlines()))
    return "\n".join([*begin, " ".join(_TOLD), *lines, ""]).encode()


def _cells(values: list[Any]) -> list[str]:
    """Return how values of one type are written."""
    if values and isinstance(values[0], str):
        return ['"' + value.replace('"', '""') + '"' for value in values]
    if values and isinstance(values[0], tuple):
        return [f'"{json.dumps(value)}"' for value in values]
    return list(map(str, values))


def _parquet(rows: Sequence[Row]) -> bytes:
    """Return the table as Parquet; units and meanings stand in the fields' metadata."""
    import pyarrow as pa  # noqa: PLC0415  (slow to load)
    from pyarrow import parquet  # noqa: PLC0415

    arrays = {name: _array([row[name] for row in rows]) for name in _TOLD}
    fields = [
        pa.field(name, arrays[name].type, metadata={"unit": unit, "description": meaning})
        for name, (unit, meaning) in _TOLD.items()
    ]
    held = BytesIO()
    parquet.write_table(pa.table(list(arrays.values()), schema=pa.schema(fields)), held)
    return held.getvalue()


def _array(values: list[Any]) -> Any:
    """Return values of one type as pyarrow's array, by buffers: `pa.array` would load pandas."""
    import pyarrow as pa  # noqa: PLC0415

    first, make = values[0] if values else math.nan, pa.Array.from_buffers
    if isinstance(first, str):
        texts = [value.encode() for value in values]
        return make(pa.string(), len(values), [None, _ends(texts), pa.py_buffer(b"".join(texts))])
    if isinstance(first, tuple):
        within = _array(list(chain.from_iterable(values)))
        kind = pa.list_(within.type)
        return make(kind, len(values), [None, _ends(values)], children=[within])
    numbers = np.array(values)
    return make(pa.from_numpy_dtype(numbers.dtype), len(values), [None, pa.py_buffer(numbers)])


def _ends(values: Sequence[Any]) -> Any:
    """Return where each of some texts or lists begins and ends, all put together."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.py_buffer(np.cumsum([0, *map(len, values)], dtype=np.int32))


def printable(text: str) -> str:
    """Return a text on one line that UTF-8 can hold, as Python escapes what is not so."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
