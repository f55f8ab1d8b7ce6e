"""A lock behind a URL: a record of who holds it, which is renewed while it is held.

Where there are no locks of a system that frees them, a holder that is gone is told by its record:
its process has ended on this machine, or it was not renewed for the time of a lease. Of several
that take it at once one gets it, where the store honours conditions (`artifact.replace_bytes`).
"""

import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

from simlib.artifact import Record, encoded, parse_record, read_record, replace_bytes, write_record
from simlib.errors import InputError
from simlib.location import Location
from simlib.processes import is_alive

log = logging.getLogger(__name__)

LEASE_S = 300.0  # after which one that was not renewed is free; clocks may differ by some of it
_RENEWALS = 5  # in the time of a lease


class Holder(Record):
    """Who holds a lease. renewed: s since 1970, by its clock. token: of this holding alone."""

    remedy: ClassVar[str] = "remove it where nobody works there"
    process: int
    node: str
    token: str
    renewed: float

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended, or has not been heard of for too long."""
        return is_gone(self.node, self.process, self.renewed)


def is_gone(node: str, process: int, renewed: float) -> bool:
    """Return whether a process is known to have ended, or was last heard of a lease ago.

    renewed: s since 1970.
    """
    has_ended = node == platform.node() and not is_alive(process)
    return has_ended or time.time() - renewed > LEASE_S


@contextmanager
def leased(place: Location, what: str) -> Iterator[threading.Event]:
    """Hold a lease; yield what is set where another took it over, because it was not renewed.

    what: is held, for the message. Raises InputError, with the holder, where it is held.
    """
    mine = Holder(
        process=os.getpid(), node=platform.node(), token=secrets.token_hex(8), renewed=time.time()
    )

    def take(held: bytes | None) -> bytes:
        standing = None
        with suppress(InputError):  # a damaged one holds nothing
            standing = None if held is None else parse_record(place, held, Holder)
        if standing is not None and standing.token != mine.token and not standing.is_gone:
            raise InputError(
                f"{what} is held by process {standing.process} on {standing.node}; wait for it or "
                f"stop it (one that was killed is forgotten after {LEASE_S:g} s: {place})"
            )
        return encoded(mine)

    replace_bytes(place, take)
    is_lost, ended = threading.Event(), threading.Event()
    renewing = threading.Thread(target=_renew, args=(place, mine, is_lost, ended), daemon=True)
    renewing.start()
    try:
        yield is_lost
    finally:
        ended.set()
        renewing.join()
        if not is_lost.is_set() and _holder(place) == mine.token:
            place.remove()


def _renew(place: Location, mine: Holder, is_lost: threading.Event, ended: threading.Event) -> None:
    while not ended.wait(LEASE_S / _RENEWALS):
        try:
            if _holder(place) not in (mine.token, None):
                is_lost.set()
                return
            write_record(place, mine.model_copy(update={"renewed": time.time()}))
        except Exception as error:  # of the network: tried again at the next renewal
            log.warning("%s could not be renewed: %s", place, error)


def _holder(place: Location) -> str | None:
    standing = None
    with suppress(InputError):
        standing = read_record(place, Holder)
    return standing.token if standing else None
