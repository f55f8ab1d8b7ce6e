"""Ctrl-C, SIGTERM or SIGHUP ends the program soon, with nothing half-written.

Stages clean up on KeyboardInterrupt, but a key press reaches every process that they started too,
and who waits for one of those may wait without end. Records and blocks are whole or absent, so
ending hard is safe.
"""

import logging
import os
import signal
import threading
from contextlib import suppress
from types import FrameType

from flows.terminal.streams import say
from simlib.errors import PREEMPTED, Stopped

INTERRUPTED = 130
_GRACE_SECONDS = 5.0  # for a person, who waits
_LONGER_SECONDS = 27.0  # for the rest, of the 30 that batch systems and pods give: ranks save
_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_soon_when_interrupted() -> None:
    """Install the handler: the first Ctrl-C asks all to stop, a second or the clock makes them.

    So do the signals by which a batch system or `kill` ends a program, and by which a terminal does
    that is closed, unless the program was started to outlive it (`nohup`). Of these a second one
    makes no haste: they come to many processes at once, which pass them on.
    """
    for asked in _ASKS:
        if asked != signal.SIGHUP or signal.getsignal(asked) != signal.SIG_IGN:
            signal.signal(asked, _ask_to_stop)


def stop_when_interrupted() -> threading.Event:
    """Return what is set when the program is asked to end, for work that then ends well.

    Asked a second time it ends at once.
    """
    asked_to_stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        for asked in _ASKS:
            if signal.getsignal(asked) == ask:
                signal.signal(asked, _end_now)
        asked_to_stop.set()

    for asked in _ASKS:
        if signal.getsignal(asked) != signal.SIG_IGN:
            signal.signal(asked, ask)
    return asked_to_stop


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    for asked in _ASKS:
        if signal.getsignal(asked) == _ask_to_stop:
            signal.signal(asked, _end_now if asked == signal.SIGINT else _ask_no_more)
    logging.disable(logging.CRITICAL)  # what stops now has nothing to tell
    say("interrupted; what is finished is kept, run it again to go on")
    grace = _GRACE_SECONDS if number == signal.SIGINT else _LONGER_SECONDS
    clock = threading.Timer(grace, _end_now)
    clock.daemon = True
    clock.start()
    raise KeyboardInterrupt(number)


def _ask_no_more(number: int, frame: FrameType | None) -> None:
    """Hear one more: were it ignored, Python would complain of one that waits already."""


def code_of(asked: KeyboardInterrupt) -> int:
    """Return the exit code: another where it was no key press and training goes on from there."""
    is_preempted = isinstance(asked, Stopped) and asked.args == (signal.SIGTERM,)
    return PREEMPTED if is_preempted else INTERRUPTED


def _end_now(number: int = 0, frame: FrameType | None = None) -> None:
    with suppress(ModuleNotFoundError):  # without it no verb starts processes
        import psutil

        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    os._exit(INTERRUPTED)
