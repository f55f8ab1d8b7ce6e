"""What the header of a FITS file claims, looked at before a library believes it."""

import re

from simlib.errors import InputError

_MOST = 999  # axes and columns (FITS standard 4.0, sections 4.4.1 and 7.2.1)
_CARD = 80
_COUNT = re.compile(rb"(Z?NAXIS|TFIELDS) *= *\+?0*(\d*)", re.IGNORECASE)


def refuse_endless(data: bytes, before: str = "") -> None:
    """Raise InputError where a part claims more axes or columns than a file can have.

    A library that counts them all would take for ever. before: what the message begins with.
    """
    for found in _COUNT.finditer(data):
        name, count = (text.decode() for text in found.groups())
        if found.start() % _CARD == 0 and len(count) > len(str(_MOST)):
            raise InputError(
                f"{before}its header claims {name.upper()} = {count[:40]}, where a FITS file has "
                f"at most {_MOST}; it is damaged: fetch it again"
            )
