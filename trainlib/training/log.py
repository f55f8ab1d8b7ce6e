"""The log of a run, `log.jsonl`: one object an interval, appended while it trains."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.location import Location

LOG = "log.jsonl"


class Interval(TypedDict):
    """What is said of an interval. epoch, step, samples, seconds, cpu_seconds: since the start."""

    epoch: int
    step: int
    samples: int
    loss: float
    validation_loss: float
    lr: float
    samples_per_s: float
    seconds: float
    cpu_seconds: float


_SCHEMA = TypeAdapter(Interval)


def append_log(directory: Path, interval: Interval) -> None:
    """Add an interval."""
    with (directory / LOG).open("ab") as file:
        file.write(json.dumps(interval).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_log(directory: Path) -> list[Interval]:
    """Return all intervals, a torn last line left out; InputError for a damaged one."""
    return next(tail_log(directory))


def cut_log(directory: Path, step: int) -> None:
    """Leave out what came after a step: a resumed run will write it again."""
    kept = [line for line in read_log(directory) if line["step"] <= step]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    write_bytes(Location.of(directory / LOG), text.encode())


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
        whole = data[: data.rfind(b"\n") + 1]  # a torn last line waits
        fresh = []
        for line in whole.splitlines():
            lines += 1
            fresh.append(_parse(line, f"{path}, line {lines}"))
        offset += len(whole)
        fresh = [interval for interval in fresh if interval["step"] > step]
        step = max((interval["step"] for interval in fresh), default=step)
        yield fresh


def _parse(line: bytes, place: str) -> Interval:
    try:
        return _SCHEMA.validate_json(line, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f" {part}:" for part in problem["loc"])
        raise InputError(
            f"{place} cannot be used:{where} {problem['msg']}; remove the file and train again: "
            "only the curve of the loss is lost"
        ) from None
