"""Denoise files: each read, denoised and written on its own, and one table over all of them.

What cannot be used is told, and the rest goes on. The files that were given are never changed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simlib.artifact import create_bytes, write_bytes, write_files
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Stated
from simlib.spectra.read import Contents, read_observed
from trainlib.onsky.answers import Answer, empty_row
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.mirror import mirrored, refuse_mirrored
from trainlib.onsky.summary import (
    PLOTS,
    SUMMARY,
    TABLES,
    FileDone,
    Tables,
    tables_of,
    write_tables,
)

if TYPE_CHECKING:
    from trainlib.onsky.quicklook import QuickLook

AWAY = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


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


def denoise(
    bundle: Bundle,
    files: Iterable[Location],
    out: Location,
    stated: Stated | None = None,
    *,
    overwrite: bool = False,
    plots: bool = False,
    tell: Callable[[FileDone], None] = lambda _: None,
) -> list[FileDone]:
    """Denoise files into a folder; return what became of each, in their order.

    stated: what the files do not say themselves. plots: draw a picture of each spectrum, into the
    folder `plots`. tell: is given each file when it is done. The tables `summary.ecsv` and
    `summary.parquet`, `starts.json` and the page `summary.html` are written last. Raises InputError
    where there is a table that is not to be replaced, or that was given; a file that cannot be used
    does not end the others.
    """
    given = list(files)
    if not given:
        raise InputError("no files were given; name one or more")
    originals = _Originals.of(given)
    for name in TABLES:
        if out / name in originals:
            raise InputError(
                f"the table would be {out / name}, which is an original; give another --out"
            )
    if not overwrite and (out / SUMMARY).exists():
        raise InputError(f"{out / SUMMARY} exists; give --overwrite, or another place with --out")
    look = quick_look() if plots else None
    done: list[FileDone] = []
    taken: dict[str, Location] = {}
    ahead: list[Tables] = []

    def prepare(last: FileDone) -> None:
        ahead.append(tables_of(out, [*done, last], bundle.manifest.fingerprint))

    for number, place in enumerate(given, start=1):
        meanwhile = prepare if number == len(given) else _nothing
        try:
            target = _target(place, out, taken, originals)
            found = _denoise_one(
                bundle, place, target, stated or Stated(), overwrite, look, meanwhile
            )
        except InputError as error:
            found = refused(place, str(error))
            ahead.clear()
        done.append(found)
        tell(found)
    tables = ahead[0] if ahead else tables_of(out, done, bundle.manifest.fingerprint)
    write_tables(out, tables)
    return done


def _nothing(_: FileDone) -> None:
    pass


def quick_look() -> "QuickLook":
    """Return what draws the pictures of spectra."""
    from trainlib.onsky.quicklook import QuickLook  # noqa: PLC0415  (loads matplotlib)

    return QuickLook()


def refused(place: Location, message: str) -> FileDone:
    """Return what became of a file that cannot be used."""
    return FileDone(place, None, (empty_row() | {"message": message},))


def output_name(place: Location) -> str:
    """Return the name of the file that is made of one."""
    name = place.name.removesuffix(".gz")
    return name if name.lower().endswith((".fits", ".fit", ".fts")) else f"{name}.fits"


def _target(
    place: Location, out: Location, taken: dict[str, Location], originals: _Originals
) -> Location:
    """Return where the output of a file belongs; InputError where an original or another is."""
    name = output_name(place)
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
    bundle: Bundle,
    place: Location,
    target: Location,
    stated: Stated,
    overwrite: bool,
    look: "QuickLook | None",
    meanwhile: Callable[[FileDone], None],
) -> FileDone:
    if not overwrite and target.exists():
        raise InputError(f"{place}: {target} exists; give --overwrite, or another --out")
    try:
        contents = read_observed(place, stated)
    except AWAY as error:
        raise InputError(f"{place}: {error.strerror or error}") from None
    return write_denoised(
        bundle, contents, place, target, overwrite=overwrite, look=look, meanwhile=meanwhile
    )


def write_denoised(
    bundle: Bundle,
    contents: Contents,
    place: Location,
    target: Location,
    *,
    overwrite: bool,
    look: "QuickLook | None",
    meanwhile: Callable[[FileDone], None] = _nothing,
) -> FileDone:
    """Denoise what a file holds and write it, pictures first; return what became of it.

    place: of the file, for messages. meanwhile: is given that while the file is written, which may
    fail yet. Raises InputError where no spectrum of it can be used, or it is denoised already.
    """
    try:
        refuse_mirrored(contents)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    found: list[FileDone] = []

    def parts() -> Iterator[bytes | memoryview]:
        if contents.fits is not None:
            yield contents.fits  # which the disk takes meanwhile
        made = bundle.denoise_observed(contents.spectra)
        answers = [Answer.of(*pair) for pair in zip(contents.spectra, made, strict=True)]
        if all(answer.denoised is None for answer in answers):
            more = f" (and so of {len(answers) - 1} more)" if len(answers) > 1 else ""
            raise InputError(f"{place}: {answers[0].message}{more}")
        drawn = {} if look is None else _drawn(answers, target, look)
        if drawn:
            write_files(target.parent, drawn)
        names = [_plot_name(target, number) for number in range(len(answers))]
        rows = tuple(
            answer.row | {"plot": name if name in drawn else ""}
            for answer, name in zip(answers, names, strict=True)
        )
        found.append(FileDone(place, target, rows))
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(meanwhile, found[0])
            yield from mirrored(contents, answers, bundle.manifest)
            beside.result()

    if overwrite:
        write_bytes(target, parts())
    elif not create_bytes(target, parts()):
        raise InputError(f"{place}: {target} exists; give --overwrite, or another --out")
    return found[0]


def _plot_name(target: Location, number: int) -> str:
    return f"{PLOTS}/{target.name}-{number + 1}.png"


def _drawn(answers: Sequence[Answer], target: Location, look: "QuickLook") -> dict[str, bytes]:
    """Return the picture of each spectrum that was denoised, by its name beside the output."""
    return {
        _plot_name(target, number): look.draw(answer.observed, answer.denoised, target.name)
        for number, answer in enumerate(answers)
        if answer.denoised is not None
    }
