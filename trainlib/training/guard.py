"""What keeps a rank from harm: no orphans, no two runs in one directory, failures that are told."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simlib.errors import InputError
from trainlib.training.distributed import Ranks

FAILURES = "failures"
LOCK = ".lock"
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


@contextmanager
def lock_run(directory: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the run directory; the system releases it whatever ends the process."""
    if not ranks.is_first:
        yield
        return
    with (directory / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InputError(
                f"process {file.read().strip()} trains in {directory}; wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def report_failure(directory: Path, kind: str, message: str) -> None:
    """Leave the failure of this rank where the launcher looks for it."""
    rank = os.environ.get("RANK", "0")
    entry = {"rank": int(rank), "kind": kind, "message": message, "time": time.time()}
    with suppress(OSError):  # a full disk must not hide the failure itself
        (directory / FAILURES).mkdir(exist_ok=True)
        (directory / FAILURES / f"rank-{rank}.json").write_text(json.dumps(entry))


def read_failures(directory: Path) -> list[dict[str, object]]:
    """Return the failures of a start: people's mistakes first, then the earliest."""
    entries = []
    for path in (directory / FAILURES).glob("rank-*.json"):
        with suppress(json.JSONDecodeError):
            entries.append(json.loads(path.read_text()))
    return sorted(entries, key=lambda entry: (entry["kind"] != "InputError", entry["time"]))


def clear_failures(directory: Path) -> None:
    """Forget the failures of earlier starts."""
    for path in (directory / FAILURES).glob("rank-*.json"):
        path.unlink()
