"""A folder that is watched: each new file denoised, visits of a star stacked, all of it told.

A file is taken when its size stands still and it can be read; one that cannot be read is waited
for, as one that is half written. What is done is recorded file by file beside the outputs, so that
a later watch goes on where this one ended.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from simlib.artifact import encoded, is_leftover, parse_record, write_bytes
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Stated
from simlib.spectra.read import Contents, read_observed
from trainlib.onsky.batch import AWAY, output_name, quick_look, refused, write_denoised
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.stack import Stack, exposures_to, snr_after, star_of
from trainlib.onsky.summary import SUMMARY, FileDone, tables_of, write_tables
from trainlib.onsky.watched import Row, Watched, exposure_seconds, rows_of, without_blanks

if TYPE_CHECKING:
    from trainlib.onsky.forecast import Forecast
    from trainlib.onsky.quicklook import QuickLook

RECORDS, STACKS = "watched", "stacks"  # folders beside the outputs
REFRESH_S = 5  # after which the page loads itself again
_TICK_MS = 400  # between looks, where no file is told of
_BETWEEN_SUMMARIES_S = 10.0  # while files wait
_MOST_SHOWN = 200  # stars of a status
_OURS = b"'DENOISER'"  # in what this program wrote


@dataclass(frozen=True)
class StarSeen:
    """A line of the table that is shown. next_snr: after one more exposure.

    more, seconds: exposures and time that the target needs; None where that is not known, infinite
    where it is out of reach.
    """

    name: str
    exposures: int
    snr: float
    verdict: str
    next_snr: float
    more: float | None
    seconds: float | None


@dataclass(frozen=True)
class Status:
    """What a watch has come to: stars, the newest first, files waited for, and refusals."""

    stars: tuple[StarSeen, ...]
    files: int
    waiting: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """How a folder is watched. target_snr: that is forecast. patience_s: for a file to be whole.

    forecast: at conditions; None: from what the exposures so far have, see `stack`.
    """

    stated: Stated
    target_snr: float = 40.0
    patience_s: float = 30.0
    plots: bool = False
    forecast: "Forecast | None" = None


@dataclass
class _Waiting:
    identity: tuple[int, int]
    since: float
    message: str = ""  # why it could not be read
    is_told: bool = False


def watch(
    bundle: Bundle,
    folder: Path,
    out: Location,
    wanted: Wanted,
    stop: Event,
    *,
    overwrite: bool = False,
    tell: Callable[[Status], None] = lambda _: None,
) -> list[FileDone]:
    """Denoise what is in a folder and what comes there, until told to stop; return all of it.

    tell: is given what there is whenever that changed. Raises InputError where the folder is none,
    or where `out` holds what another bundle or no watch made and that is not to be replaced.
    """
    import watchfiles  # noqa: PLC0415  (only this needs it)

    night = Night(bundle, folder, out, wanted)
    night.begin(overwrite)
    tell(night.status())
    ticks = watchfiles.watch(
        folder, stop_event=stop, recursive=False, watch_filter=None, raise_interrupt=False,
        yield_on_timeout=True, rust_timeout=_TICK_MS, debounce=_TICK_MS, step=50,
    )  # fmt: skip
    for _ in ticks:
        if night.look(stop):
            tell(night.status())
    night.end()
    tell(night.status())
    return night.all_done()


@dataclass
class Night:
    """What a watch knows: files and stacks by their names, and files that it waits for."""

    bundle: Bundle
    folder: Path
    out: Location
    wanted: Wanted
    files: dict[str, Watched] = field(default_factory=dict)
    stacks: dict[str, Watched] = field(default_factory=dict)
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  # of stacks that could not be made
    written: float = -math.inf  # when the summary was, on the clock that only goes on
    is_behind: bool = True  # whether the summary lacks something

    def begin(self, overwrite: bool) -> None:
        """Take up what an earlier watch did, and write the first page."""
        if not self.folder.is_dir():
            raise InputError(f"--watch {self.folder}: there is no such folder")
        if self.out.is_local and self.out.path.resolve() == self.folder.resolve():
            raise InputError(f"--out is the folder that is watched, {self.folder}; give another")
        held = dict(self._records())
        if not (held or overwrite) and (self.out / SUMMARY).exists():
            raise InputError(
                f"{self.out / SUMMARY} exists, which no watch wrote; give --overwrite, or another "
                "place with --out"
            )
        mine = self.bundle.manifest.fingerprint
        for kind, name, record in self._sorted(held):
            if record.bundle != mine and not overwrite:
                raise InputError(
                    f"{self.out} holds what bundle {record.bundle} made, this one is {mine}; give "
                    "--overwrite, or another place with --out"
                )
            if record.bundle == mine and (self.out / record.output).exists():
                kind[name] = record
        self._look: QuickLook | None = quick_look() if self.wanted.plots else None
        self._summary()

    def _records(self) -> Iterator[tuple[str, Watched]]:
        place = self.out / RECORDS
        for name, data in sorted(place.read_files(place.names()).items()):
            if name.endswith(".json"):
                yield name.removesuffix(".json"), parse_record(place / name, data, Watched)

    def _sorted(
        self, held: Mapping[str, Watched]
    ) -> Iterator[tuple[dict[str, Watched], str, Watched]]:
        """Yield records with where they belong; a stack's output is in the folder of stacks."""
        for name, record in held.items():
            is_stack = record.output.startswith(f"{STACKS}/")
            yield (self.stacks, record.stars[0], record) if is_stack else (
                self.files, name, record)  # fmt: skip

    def look(self, stop: Event) -> bool:
        """Do what has become ready; return whether something changed."""
        changed = False
        now = monotonic()
        present = dict(self._present())
        for name in [name for name in self.waiting if name not in present]:
            del self.waiting[name]
            changed = True
        for name, identity in present.items():
            if stop.is_set():
                break
            known = self.files.get(name)
            if known is not None and (known.size, known.written_ns) == identity:
                continue
            waits = self.waiting.get(name)
            if waits is None or waits.identity != identity:
                self.waiting[name] = _Waiting(identity, now)
                changed = True
            elif not waits.message:
                self._try(name, waits)
                changed = True
            elif not waits.is_told and now - waits.since > self.wanted.patience_s:
                waits.is_told = changed = True
        self.is_behind = self.is_behind or changed
        is_idle = all(one.message for one in self.waiting.values())
        if self.is_behind and (is_idle or now - self.written > _BETWEEN_SUMMARIES_S):
            self._summary()
        return changed

    def _present(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield the files of the folder, the oldest first, with size and time."""
        found = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # it went meanwhile
                about = path.stat()
                if path.is_file() and not (path.name.startswith(".") or is_leftover(path.name)):
                    found.append((about.st_mtime_ns, path.name, about.st_size))
        yield from ((name, (size, written)) for written, name, size in sorted(found))

    def _try(self, name: str, waits: _Waiting) -> None:
        """Denoise a file whose size stood still; where it cannot be read it is waited for."""
        place = Location.of(self.folder / name)
        try:
            target = self._target(name)
            contents = read_observed(place, self.wanted.stated)
            rows = write_denoised(
                self.bundle, contents, place, target, overwrite=True, look=self._look
            ).rows
        except InputError as error:
            waits.message = str(error)
            return
        except AWAY as error:
            waits.message = f"{place}: {error.strerror or error}"
            return
        stars = {star for one in contents.spectra if (star := star_of(one)) is not None}
        seconds = exposure_seconds(contents)
        self.files[name] = self._kept(
            name, waits.identity, target.name, rows, sorted(stars), seconds=seconds
        )
        del self.waiting[name]
        self._stack(stars, name)

    def _target(self, name: str) -> Location:
        if not name.isprintable():
            raise InputError(
                f"{self.folder / name}: its name holds what no table can; rename the file"
            )
        target = output_name(self.out / name)
        for other in self.files:
            if other != name and output_name(self.out / other) == target:
                raise InputError(
                    f"{self.folder / name}: its output would be {target}, as that of {other}; "
                    "give one of them another name"
                )
        place = self.out / target
        if name not in self.files and _OURS not in (place.read_bytes() or _OURS):
            raise InputError(
                f"{self.folder / name}: its output would be {place}, which is another file; give "
                "another --out"
            )
        return place

    def _kept(
        self, name: str, identity: tuple[int, int], output: str, rows: Sequence[Row],
        stars: list[str], *, exposures: int = 1, seconds: float = math.nan,
    ) -> Watched:  # fmt: skip
        """Return the record of what was done, once it is written."""
        record = Watched(
            bundle=self.bundle.manifest.fingerprint,
            size=identity[0],
            written_ns=identity[1],
            output=output,
            rows=[without_blanks(row) for row in rows],
            stars=stars,
            exposures=exposures,
            seconds=seconds if math.isfinite(seconds) else None,
        )
        write_bytes(self.out / RECORDS / f"{name}.json", encoded(record))
        return record

    def _stack(self, stars: set[str], newest: str) -> None:
        """Stack anew what a file holds a visit of, from all files that hold visits of these."""
        others = [name for name, one in self.files.items() if stars & set(one.stars)]
        if len(others) < 2:
            return
        stacks: dict[str, Stack] = {}
        for name in others:
            self._join(name, stars, stacks)
        for star, stack in stacks.items():
            if stack.exposures > 1:
                self._denoise_stack(star, stack)

    def _join(self, name: str, stars: set[str], stacks: dict[str, Stack]) -> None:
        """Add the visits in a file to the stacks of their stars."""
        try:
            contents = read_observed(Location.of(self.folder / name), self.wanted.stated)
        except (InputError, *AWAY) as error:  # it was there before
            self.problems[name] = f"not stacked: {error}"
            return
        seconds = exposure_seconds(contents)
        for visit in contents.spectra:
            if (star := star_of(visit)) not in stars or star is None:
                continue
            try:
                held = stacks.get(star)
                stacks[star] = held.joined(visit, seconds) if held else Stack.of(visit, seconds)
            except InputError as error:
                self.problems[name] = f"{name}: {error}"

    def _denoise_stack(self, star: str, stack: Stack) -> None:
        target = self.out / STACKS / f"{star}.fits"
        contents = Contents([stack.spectrum()])
        try:
            rows = write_denoised(
                self.bundle, contents, target, target, overwrite=True, look=self._look
            ).rows
        except InputError as error:
            self.problems[star] = str(error)
            return
        rows = tuple(
            row | {"plot": f"{STACKS}/{row['plot']}" if row["plot"] else ""} for row in rows
        )
        self.stacks[star] = self._kept(
            f"{STACKS}-{star}", (0, 0), f"{STACKS}/{star}.fits", rows, [star],
            exposures=stack.exposures, seconds=stack.seconds,
        )  # fmt: skip

    def end(self) -> None:
        """Write what there is, for good: the page no longer loads itself again."""
        for waits in self.waiting.values():
            waits.is_told = waits.is_told or bool(waits.message)
        self._summary(is_last=True)

    def _summary(self, *, is_last: bool = False) -> None:
        tables = tables_of(
            self.out, self.all_done(), self.bundle.manifest.fingerprint,
            refresh_s=None if is_last else REFRESH_S,
        )  # fmt: skip
        write_tables(self.out, tables)
        self.written, self.is_behind = monotonic(), False

    def all_done(self) -> list[FileDone]:
        """Return what became of files, of stacks, and of files that were waited for in vain."""
        done = [
            FileDone(Location.of(self.folder / name), self.out / one.output, rows_of(one))
            for name, one in self.files.items()
        ]
        done += [
            FileDone(self.out / one.output, self.out / one.output, rows_of(one))
            for one in self.stacks.values()
        ]
        return done + [
            refused(Location.of(self.folder / name), _unread(waits))
            for name, waits in self.waiting.items()
            if waits.is_told
        ]

    def status(self) -> Status:
        """Return what is to be shown."""
        told = [name for name, waits in self.waiting.items() if waits.is_told]
        return Status(
            stars=tuple(islice(self._stars(), _MOST_SHOWN)),
            files=len(self.files),
            waiting=tuple(name for name in self.waiting if name not in told),
            refused=(*(_unread(self.waiting[name]) for name in told), *self.problems.values()),
        )

    def _stars(self) -> Iterator[StarSeen]:
        """Yield a line a star, the newest first: of its stack where there is one."""
        shown: set[str] = set()
        for name in reversed(self.files):
            for row in rows_of(self.files[name]):
                star = row["spectrum"]
                stack = self.stacks.get(star) if star in self.files[name].stars else None
                if stack is not None and star in shown:
                    continue
                shown.add(star)
                yield self._star(stack or self.files[name], rows_of(stack)[0] if stack else row)

    def _star(self, record: Watched, row: Row) -> StarSeen:
        snr, exposures = float(row["snr"]), record.exposures
        each = math.nan if record.seconds is None else record.seconds / exposures
        target, coming = self.wanted.target_snr, self.wanted.forecast
        more: float | None
        if coming is None:
            after, more = snr_after(snr, exposures, 1), exposures_to(target, snr, exposures)
        else:
            after = coming.after(snr, exposures, each, 1)
            more, each = coming.needed(target, snr, exposures, each), coming.time_s(each)
        return StarSeen(
            name=row["spectrum"],
            exposures=exposures,
            snr=snr,
            verdict=row["verdict"],
            next_snr=after,
            more=more,
            seconds=None if more is None or math.isnan(each) else more * each,
        )


def _unread(waits: _Waiting) -> str:
    return f"{waits.message} (it was waited for, and may be incomplete)"
