"""No orphans: a rank ends with the process that started it."""

import os
import threading
import time

_WATCH_S = 0.5


def follow_parent(watched: int | None) -> None:
    """End this process when the torchrun that started it ends, or the watched process."""
    parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None

    def watch() -> None:
        while parent in (None, os.getppid()) and (watched is None or _is_alive(watched)):
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
