"""The digest that stands behind a checkpoint's bytes; read here without loading torch."""

from simlib.artifact import FORMAT_VERSION
from simlib.errors import InputError
from simlib.location import Location, Place

MARK = b"\nspecdenoise checkpoint %d sha256 " % FORMAT_VERSION
DIGITS = 64


def sealed_digest(path: Place) -> str | None:
    """Return the digest that a checkpoint says of itself; None for what is no checkpoint of ours.

    Its bytes are not read: what loads them compares.
    """
    try:
        end = Location.of(path).read_bytes(start=-DIGITS - len(MARK))
    except (OSError, InputError):  # not to be read, or a folder
        return None
    if end is None or not end.startswith(MARK):
        return None
    return end[len(MARK) :].decode(errors="replace")
