"""The digest that stands behind a checkpoint's bytes; read here without loading torch."""

import os
from pathlib import Path

from simlib.artifact import FORMAT_VERSION

MARK = b"\nspecdenoise checkpoint %d sha256 " % FORMAT_VERSION
DIGITS = 64


def sealed_digest(path: Path) -> str | None:
    """Return the digest that a checkpoint says of itself; None for what is no checkpoint of ours.

    Its bytes are not read: what loads them compares.
    """
    try:
        with path.open("rb") as file:
            file.seek(-DIGITS - len(MARK), os.SEEK_END)
            end = file.read()
    except OSError:  # not there, or shorter
        return None
    return end[len(MARK) :].decode(errors="replace") if end.startswith(MARK) else None
