"""Ctrl-C, SIGTERM or SIGHUP ends the program within seconds, with nothing half-written.

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

INTERRUPTED = 130
_GRACE_SECONDS = 5.0
_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_soon_when_interrupted() -> None:
    """Install the handler: the first Ctrl-C asks all to stop, a second or the clock makes them.

    So do the signals by which a batch system or `kill` ends a program, and by which a terminal does
    that is closed, unless the program was started to outlive it (`nohup`).
    """
    for asked in _ASKS:
        if asked != signal.SIGHUP or signal.getsignal(asked) != signal.SIG_IGN:
            signal.signal(asked, _ask_to_stop)


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    for asked in _ASKS:
        if signal.getsignal(asked) == _ask_to_stop:
            signal.signal(asked, _end_now)
    logging.disable(logging.CRITICAL)  # what stops now has nothing to tell
    say("interrupted; what is finished is kept, run it again to go on")
    clock = threading.Timer(_GRACE_SECONDS, _end_now)
    clock.daemon = True
    clock.start()
    raise KeyboardInterrupt


def _end_now(number: int = 0, frame: FrameType | None = None) -> None:
    with suppress(ModuleNotFoundError):  # without it no verb starts processes
        import psutil

        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    os._exit(INTERRUPTED)
