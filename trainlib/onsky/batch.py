"""Denoise files: each read, denoised and written on its own, and one table over all of them.

What cannot be used is told, and the rest goes on. The files that were given are never changed.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from simlib.artifact import create_bytes, write_bytes
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Stated
from simlib.spectra.read import read_observed
from trainlib.onsky.answers import COLUMNS, REFUSED, Answer, empty_row
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.mirror import mirrored

SUMMARY = "summary.ecsv"
_LONGEST = 1000  # letters of a message in the table
_UNUSABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True)
class _Originals:
    """The files that were given, as they were found. held: device and number of those here."""

    urls: frozenset[str]
    held: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, given: Sequence[Location]) -> "_Originals":
        held = frozenset(key for one in given if (key := _file_of(one)) is not None)
        return cls(frozenset(one.url for one in given), held)

    def __contains__(self, place: Location) -> bool:
        """Return whether a place is one of them, by another path or link too."""
        return place.url in self.urls or _file_of(place) in self.held


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


def denoise(
    bundle: Bundle,
    files: Iterable[Location],
    out: Location,
    stated: Stated | None = None,
    *,
    overwrite: bool = False,
    tell: Callable[[FileDone], None] = lambda _: None,
) -> list[FileDone]:
    """Denoise files into a folder; return what became of each, in their order.

    stated: what the files do not say themselves. tell: is given each when it is done. The table
    `summary.ecsv` is written last. Raises InputError where there is one that is not to be replaced,
    or that was given; a file that cannot be used does not end the others.
    """
    given = list(files)
    if not given:
        raise InputError("no files were given; name one or more")
    originals, summary = _Originals.of(given), out / SUMMARY
    if summary in originals:
        raise InputError(f"the table would be {summary}, which is an original; give another --out")
    if not overwrite and summary.exists():
        raise InputError(f"{summary} exists; give --overwrite, or another place with --out")
    done: list[FileDone] = []
    taken: dict[str, Location] = {}
    for place in given:
        try:
            target = _target(place, out, taken, originals)
            rows = _denoise_one(bundle, place, target, stated or Stated(), overwrite)
            found = FileDone(place, target, rows)
        except InputError as error:
            found = FileDone(place, None, (empty_row() | {"message": str(error)},))
        done.append(found)
        tell(found)
    write_bytes(summary, _summary(done).encode())
    return done


def _target(
    place: Location, out: Location, taken: dict[str, Location], originals: _Originals
) -> Location:
    """Return where the output of a file belongs; InputError where an original or another is."""
    name = place.name.removesuffix(".gz")
    if not name.lower().endswith((".fits", ".fit", ".fts")):
        name = f"{name}.fits"
    target = out / name
    if name in taken:
        raise InputError(
            f"{place}: its output would be {target}, as that of {taken[name]}; give the two "
            "different places with --out"
        )
    taken[name] = place
    if target in originals:
        raise InputError(
            f"{place}: its output would be {target}, which is an original; give another --out"
        )
    return target


def _file_of(place: Location) -> tuple[int, int] | None:
    """Return which file of this machine is at a place, None where none is."""
    try:
        found = os.stat(place.url) if place.is_local else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _denoise_one(
    bundle: Bundle, place: Location, target: Location, stated: Stated, overwrite: bool
) -> tuple[dict[str, Any], ...]:
    if not overwrite and target.exists():
        raise InputError(f"{place}: {target} exists; give --overwrite, or another --out")
    try:
        contents = read_observed(place, stated)
    except _UNUSABLE as error:
        raise InputError(f"{place}: {error.strerror or error}") from None
    found = bundle.denoise_observed(contents.spectra)
    answers = [Answer.of(*pair) for pair in zip(contents.spectra, found, strict=True)]
    if all(answer.denoised is None for answer in answers):
        more = f" (and so of {len(answers) - 1} more)" if len(answers) > 1 else ""
        raise InputError(f"{place}: {answers[0].message}{more}")
    try:
        data = mirrored(contents, answers, bundle.manifest)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if overwrite:
        write_bytes(target, data)
    elif not create_bytes(target, data):
        raise InputError(f"{place}: {target} exists; give --overwrite, or another --out")
    return tuple(answer.row() for answer in answers)


def _summary(done: Sequence[FileDone]) -> str:
    """Return the table over all files as ECSV."""
    from astropy.table import Column, Table  # noqa: PLC0415  (slow to load)

    lines = [
        {"file": str(one.place), "output": one.written.name if one.written else "", **row}
        for one in done
        for row in one.rows
    ]
    told = {"file": ("", "as it was given"), "output": ("", "beside this table"), **COLUMNS}
    table = Table()
    for name, (unit, meaning) in told.items():
        values = [line[name] for line in lines]
        if isinstance(values[0], str):
            most = _LONGEST if name == "message" else None
            values = [_printable(value)[:most] for value in values]
        table[name] = Column(values, unit=unit or None, description=meaning)
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def _printable(text: str) -> str:
    """Return a text on one line that UTF-8 can hold, as Python escapes what is not so."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
