"""Checkpoints: everything a run needs to go on, in one file that is whole or absent.

Read with `weights_only`, so a checkpoint can hold no code, and only after its digest, which stands
behind what torch wrote (torch itself reads such a file too, but checks nothing).
"""

import errno
import hashlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from simlib.artifact import put_copy, reading, replacing
from simlib.errors import InputError
from simlib.location import Location, Place
from trainlib.training.seal import DIGITS, MARK


class DamagedError(InputError):
    """A checkpoint is not as it was written. found: that, without the way out."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"{found}; remove it and train again: that goes on from the one before, where it was "
            "kept (train.keep), else from the start"
        )
        self.found = found


def keep_earlier(last: Path, count: int) -> None:
    """Keep so many earlier checkpoints, the newest as `last-1.pt`, before the last is replaced."""
    names = [last, *(last.with_name(f"{last.stem}-{n + 1}{last.suffix}") for n in range(count))]
    for newer, older in reversed(list(pairwise(names))):
        if newer.exists():
            put_copy(newer, older) if newer == last else newer.replace(older)
    for place in set(last.parent.glob(f"{last.stem}-*{last.suffix}")) - set(names):
        place.unlink()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values; the file before stays until the new one is whole."""
    serialised = io.BytesIO()  # apart: torch.save hides why a file cannot be written
    torch.save(state, serialised)
    data = serialised.getbuffer()
    try:
        with replacing(path) as file:
            file.write(data)
            file.write(MARK + hashlib.sha256(data).hexdigest().encode())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"no space left for the checkpoint {path}; free some and train again: "
                "the run goes on from the one before"
            ) from None
        raise


def load_checkpoint(path: Place, device: torch.device) -> tuple[dict[str, Any], str]:
    """Return what was saved, and its digest.

    Raises InputError where there is none, DamagedError for a file that is not such a checkpoint,
    byte for byte as it was written.
    """
    place = Location.of(path)
    if (data := place.read_bytes()) is None:
        raise InputError(f"no checkpoint at {path}; train first")
    mark = len(data) - DIGITS - len(MARK)
    if mark <= 0 or data[mark : mark + len(MARK)] != MARK:
        raise DamagedError(
            f"{path} is not a checkpoint of this version: {len(data)} bytes that do not end with "
            "a digest"
        )
    digest = hashlib.sha256(memoryview(data)[:mark]).hexdigest()
    if digest.encode() != data[-DIGITS:]:
        raise DamagedError(f"{path} is damaged: its bytes are not those that were written")
    advice = "remove it and train again"
    with reading(place, f"it should hold tensors and plain values alone; {advice}"):
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise InputError(f"{path} holds {type(state).__name__}, no checkpoint of a run; {advice}")
    return state, digest
