"""Files that a config names, looked at while it is deployed: a change is told to the server.

`<root>/watches/<name>/seen.json` says what each file was when it was last told of, so that a change
made while nobody looked is told by the next look. A look reads no file whose stamp (size, time,
tag) is what it was, and one that was written to only when it stays so until the look after: what is
half written is waited for. Of several that look at once one tells.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from flows.config import Config, load_config
from flows.deploy_config import Deploy
from flows.events import tell_grid_changed
from flows.inputs import files_in
from simlib.artifact import Record, read_record, write_record
from simlib.lease import leased
from simlib.location import Location

log = logging.getLogger(__name__)

_DIGITS = 16


class Seen(BaseModel):
    """A file as it was looked at. checksum: when it was last told of, None where it was not there.

    stamp: of the last look, None where it was not there. is_read: whether the checksum is of that.
    """

    model_config = ConfigDict(frozen=True)
    stamp: str | None
    checksum: str | None
    is_read: bool


class Watch(Record):
    """What was seen of all files, by what the config says and by their places."""

    remedy: ClassVar[str] = "remove it: files are then taken for what they should be as they are"
    inputs: dict[str, dict[str, Seen]]


@dataclass(frozen=True)
class InputChange:
    """A file that is another now. of: the key of the config. old: None of a new file."""

    of: str
    place: Location
    old: str | None
    new: str


Known = Mapping[str, Mapping[str, Seen]]


def look(
    files: Mapping[str, Sequence[Location]], known: Known
) -> tuple[dict[str, dict[str, Seen]], list[InputChange], list[str]]:
    """Return what is seen now, what has changed since it was told of, and what has gone since.

    files: by what the config says. known: what was seen before; what is named for the first time
    is as it should be.
    """
    seen: dict[str, dict[str, Seen]] = {}
    changes, gone = list[InputChange](), list[str]()
    for said, places in files.items():
        before, seen[said] = known.get(said, {}), {}
        gone_ones = [Location.of(url, places[0].options) for url in before]
        for place in dict.fromkeys([*places, *gone_ones]):
            was = before.get(str(place))
            now = seen[said][str(place)] = _seen(place, was, is_first=not before)
            if now.stamp is None and (was is None or was.stamp is not None):
                gone.append(f"{said}: {place} is not there")
            if was and now.is_read and now.checksum and now.checksum != was.checksum:
                of = said.partition(" = ")[0]
                changes.append(InputChange(of, place, was.checksum, now.checksum))
    return seen, changes, gone


def _seen(place: Location, was: Seen | None, is_first: bool) -> Seen:
    stamp = place.stamp()
    if was is None:
        checksum = _checksum(place) if is_first and stamp else None
        return Seen(stamp=stamp, checksum=checksum, is_read=is_first or stamp is None)
    if stamp is None:
        return Seen(stamp=None, checksum=was.checksum, is_read=True)
    if stamp != was.stamp:
        return Seen(stamp=stamp, checksum=was.checksum, is_read=False)
    if was.is_read:
        return was
    checksum = _checksum(place)
    if checksum is None or place.stamp() != stamp:  # written to meanwhile
        return was
    return Seen(stamp=stamp, checksum=checksum, is_read=True)


def _checksum(place: Location) -> str | None:
    data = place.read_bytes()
    return None if data is None else sha256(data).hexdigest()[:_DIGITS]


def tell_changes(
    config: Config, tell: Callable[..., bool] = tell_grid_changed
) -> list[InputChange]:
    """Look once at the files of a config, and return those changes that the server was told of.

    What it could not be told of is told by a later look. Raises InputError where another tells just
    now, or for a damaged record.
    """
    place = config.root / "watches" / config.dataset.name / "seen.json"
    files = files_in(config)
    if look(files, _known(place))[0] == _known(place):
        return []
    told = []
    with leased(place.beside("lease"), f"the watch over {config.dataset.name}"):
        known = _known(place)
        seen, changes, gone = look(files, known)
        for text in gone:
            log.warning("%s; put it back, or correct the config", text)
        for one in changes:
            if tell("input", one.place, of=one.of, old=one.old, new=one.new):
                log.info("%s: %s is another now, %s -> %s", one.of, one.place, one.old, one.new)
                told.append(one)
            else:
                _put_back(seen, known, str(one.place))
        write_record(place, Watch(inputs=seen))
    return told


def _put_back(seen: dict[str, dict[str, Seen]], known: Known, url: str) -> None:
    """Let a file be as it was known, so that the next look finds the change again."""
    for said, files in seen.items():
        if url in files and url in known.get(said, {}):
            files[url] = known[said][url]


def _known(place: Location) -> dict[str, dict[str, Seen]]:
    record = read_record(place, Watch)
    return record.inputs if record else {}


def watch(source: str, overrides: Sequence[str], stop: threading.Event) -> None:
    """Look at the files of a config every `deploy.watch_s`, until told to stop.

    What prevents a look is told once, and tried again.
    """
    pause_s, trouble = Deploy().watch_s, ""
    while True:
        try:
            config = load_config(source, overrides)
            pause_s = config.deploy.watch_s
            tell_changes(config)
            trouble = ""
        except Exception as error:  # of a file system: whatever it raises
            if (text := str(error) or type(error).__name__) != trouble:
                log.warning("files that %s names could not be looked at: %s", source, text)
            trouble = text
        if stop.wait(pause_s):
            return


@contextmanager
def watched(source: str, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Watch the files of a config meanwhile."""
    stop = threading.Event()
    threading.Thread(target=watch, args=(source, overrides, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
