"""The log of a run, `log.jsonl`: one object an interval, appended while it trains.

Each line carries a digest of itself.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location, Place
from simlib.words import size_text, time_text

LOG = "log.jsonl"


class Interval(TypedDict):
    """What is said of an interval. epoch, step, samples, seconds, cpu_seconds: since the start.

    remaining_s: until the epochs or the budget end, at the pace of this interval. memory_bytes,
    device_memory_bytes: the most so far, of all ranks together. mfu: the share of the peak rate of
    arithmetic that the network's products take; only where that peak is known.
    """

    epoch: int
    step: int
    samples: int
    loss: float
    validation_loss: float
    lr: float
    samples_per_s: float
    seconds: float
    cpu_seconds: float
    remaining_s: NotRequired[float]
    memory_bytes: NotRequired[int]
    device_memory_bytes: NotRequired[int]
    mfu: NotRequired[float]


_SCHEMA = TypeAdapter(Interval)


def in_words(told: Interval) -> str:
    """Return a line that says the same to a person."""
    words = [
        f"epoch {told['epoch']}  step {told['step']}  loss {told['loss']:.5f}",
        f"validation {told['validation_loss']:.5f}  lr {told['lr']:.2e}",
        f"{told['samples_per_s']:.0f} samples/s  {told['seconds']:.1f} s",
        f"{told['cpu_seconds']:.1f} CPU s",
    ]
    if "remaining_s" in told:
        words.append(f"{time_text(told['remaining_s'])} left" if told["remaining_s"] else "done")
    if "memory_bytes" in told:
        words.append(f"memory {size_text(told['memory_bytes'])}")
    if "device_memory_bytes" in told:
        words.append(f"on devices {size_text(told['device_memory_bytes'])}")
    if "mfu" in told:
        words.append(f"MFU {100.0 * told['mfu']:.0f} %")
    return "  ".join(words)


def append_log(directory: Path, interval: Interval) -> None:
    """Add an interval."""
    with (directory / LOG).open("ab") as file:
        file.write(_line(interval))
        file.flush()
        os.fsync(file.fileno())


def read_log(directory: Place) -> list[Interval]:
    """Return all intervals, a torn last line left out; InputError for a damaged one."""
    place = Location.of(directory) / LOG
    return _intervals(place.read_bytes() or b"", str(place))


def cut_log(directory: Path, step: int) -> None:
    """Leave out what came after a step: a resumed run will write it again."""
    kept = [_line(interval) for interval in read_log(directory) if interval["step"] <= step]
    write_bytes(Location.of(directory / LOG), b"".join(kept))


def tail_log(directory: Path) -> Iterator[list[Interval]]:
    """Yield, whenever asked, the intervals that the log has gained; only these are read.

    A run that goes on replaces the file by a shorter one: a step is told once all the same.
    """
    path = directory / LOG
    file_number, offset, lines, step = 0, 0, 0, -1
    while True:
        data = b""
        with suppress(FileNotFoundError), path.open("rb") as file:
            if file_number != (file_number := os.fstat(file.fileno()).st_ino):
                offset, lines = 0, 0
            file.seek(offset)
            data = file.read()
        fresh = _intervals(data, str(path), lines)
        offset += data.rfind(b"\n") + 1  # a torn last line waits
        lines += len(fresh)
        fresh = [interval for interval in fresh if interval["step"] > step]
        step = max((interval["step"] for interval in fresh), default=step)
        yield fresh


def _intervals(data: bytes, place: str, before: int = 0) -> list[Interval]:
    """Return the intervals of whole lines. before: lines that stand before them in the file."""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return [_parse(line, f"{place}, line {before + n}") for n, line in enumerate(lines, start=1)]


def _line(interval: Interval) -> bytes:
    return json.dumps({**interval, "digest": fingerprint(interval)}).encode() + b"\n"


def _parse(line: bytes, place: str) -> Interval:
    try:
        interval = _SCHEMA.validate_json(line, strict=True)
        if _line(interval) == line + b"\n":
            return interval
        problem = "its digest is not that of its values"
    except ValidationError as error:
        first = error.errors()[0]
        problem = ".".join(map(str, first["loc"])) + f": {first['msg']}"
    raise InputError(
        f"{place} cannot be used: {problem}; remove the file and train again: only the curve of "
        "the loss is lost"
    )
