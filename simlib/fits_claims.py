"""What the header of a FITS file claims, looked at before a library believes it."""

import re

import numpy as np

from simlib.errors import InputError

_MOST = 999  # axes and columns (FITS standard 4.0, sections 4.4.1 and 7.2.1)
_CARD = 80
_BEGINNINGS = (b"naxis", b"znaxi", b"tfiel", b"pcoun", b"gcoun")
_SMALL = np.uint8(0x20)  # makes a letter small
_IS_FIRST = np.isin(np.arange(256) | 0x20, [name[0] for name in _BEGINNINGS])
_COUNT = re.compile(rb"(Z?NAXIS|TFIELDS) *= *\+?0*(\d*)", re.IGNORECASE)
_LESS = re.compile(rb"(Z?NAXIS\d*|TFIELDS|[PG]COUNT) *= *(-0*[1-9]\d*)", re.IGNORECASE)


def refuse_endless(data: bytes, before: str = "") -> None:
    """Raise InputError where a part claims more than a file can have, or less than nothing.

    A library that counts them all, or steps back to what it has read, would take for ever. before:
    what the message begins with.
    """
    for start in _counting_cards(data):
        if (less := _LESS.match(data, start)) is not None:
            name, count = (text.decode() for text in less.groups())
            raise InputError(
                f"{before}its header claims {name.upper()} = {count[:40]}, less than nothing; it "
                "is damaged: fetch it again"
            )
        if (found := _COUNT.match(data, start)) is None:
            continue
        name, count = (text.decode() for text in found.groups())
        if len(count) > len(str(_MOST)):
            raise InputError(
                f"{before}its header claims {name.upper()} = {count[:40]}, where a FITS file has "
                f"at most {_MOST}; it is damaged: fetch it again"
            )


def _counting_cards(data: bytes) -> list[int]:
    """Return where cards begin that may tell of sizes, among all that may be cards.

    Most of a file are numbers, a hundred megabytes of them: looked at all at once.
    """
    whole = len(data) // _CARD * _CARD
    cards = np.frombuffer(data, np.uint8, whole).reshape(-1, _CARD)
    likely = np.flatnonzero(_IS_FIRST[cards[:, 0]])
    is_such = np.isin((cards[likely, :5] | _SMALL).view("S5")[:, 0], _BEGINNINGS)
    return [*(_CARD * likely[is_such]).tolist(), whole]  # the last one is cut
