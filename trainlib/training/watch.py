"""No orphans: a rank ends with the process that started it, or with the one that it watches."""

import os
import signal
import threading
import time

from simlib.processes import is_alive

_WATCH_S = 0.5


def follow_parent(watched: int | None) -> None:
    """End this process when the torchrun that started it ends, or the watched process."""
    parent = os.getppid() if _is_torchruns() else None

    def watch() -> None:
        while parent in (None, os.getppid()) and (watched is None or is_alive(watched)):
            time.sleep(_WATCH_S)
        if parent == os.getppid():
            end_torchrun()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_torchrun() -> None:
    """End the torchrun that started this process: it would only start it again."""
    if _is_torchruns():
        os.kill(os.getppid(), signal.SIGTERM)


def _is_torchruns() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
