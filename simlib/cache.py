"""The one folder for what can always be made again: where it is, and how much it may hold.

SPECDENOISE_CACHE names it; without, it is the platform's folder for caches. Where that cannot be
written, it is read all the same, and what it lacks goes to a folder of this user's among the
temporary files, with one warning. What was used longest ago is removed where all together would
take more than SPECDENOISE_CACHE_LIMIT: a file that a process has mapped stays readable to it.
"""

import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from simlib.errors import InputError
from simlib.location import absolute

log = logging.getLogger(__name__)

VARIABLE, LIMIT_VARIABLE = "SPECDENOISE_CACHE", "SPECDENOISE_CACHE_LIMIT"
DEFAULT_LIMIT = "4GB"
# What is ours to remove, by kind: the folder may be one that holds other things too.
KINDS = {
    "grids": ("default-*", ".default-*"),  # the embedded grid, expanded
    "templates": ("*.safetensors*", ".*.safetensors*"),  # set-ups of the simulator
    "numba": ("*/*.nbi", "*/*.nbc"),  # compiled loops
    "runs": ("*/checkpoints/*.pt",),  # of runs behind a URL, while they are trained
    "logs": ("*.log",),  # of our own failures
}
_TOLD = "SPECDENOISE_CACHE_TOLD"  # the folder that a parent process has warned of
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Entry:
    """A file of the cache, and when it was last used."""

    path: Path
    kind: str
    bytes: int
    used_ns: int


def folder() -> Path:
    """Return the folder that is meant; it need not exist. Raises InputError for no usable path."""
    if configured := os.environ.get(VARIABLE):
        return Path(absolute(configured))
    return platformdirs.user_cache_path("specdenoise")


def spare() -> Path:
    """Return the folder that takes what cannot be written to the other.

    Raises InputError where the machine has no folder for temporary files.
    """
    try:
        return Path(tempfile.gettempdir()) / f"specdenoise-{os.getuid()}"
    except FileNotFoundError as error:
        raise InputError(f"no cache: {error}; set {VARIABLE} to a folder you can write") from None


def places(kind: str, name: str) -> list[Path]:
    """Return where a file may be, the likelier place first."""
    return [root / kind / name for root in _roots()]


def writable(kind: str) -> Path:
    """Return the folder of a kind, made where it was absent, in which files can be written.

    Raises InputError where neither the cache nor its spare can be written.
    """
    reasons = {}
    for root in dict.fromkeys((folder(), spare())):
        try:
            if root == spare():
                _require_own(root)
            (root / kind).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root / kind):
                break
        except OSError as error:
            reasons[root] = error
    else:
        tried = ", nor can ".join(f"{root} be written ({why})" for root, why in reasons.items())
        raise InputError(f"neither can {tried}; set {VARIABLE} to a folder that you can write")
    for failed, why in reasons.items():
        warn_once(
            f"the cache {failed} cannot be written ({why}); using {root}, which may not last. Set "
            f"{VARIABLE} to a folder that you can write"
        )
    return root / kind


def _roots() -> list[Path]:
    """Return the folders to read from: nothing of anyone else's is trusted."""
    other = spare()
    return list(dict.fromkeys((folder(), other) if _is_own(other) else (folder(),)))


def _require_own(place: Path) -> None:
    """Make a folder that nobody else can write; PermissionError where it is another's."""
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    if not _is_own(place):
        raise PermissionError("it is not this user's alone")


def _is_own(place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o022


def warn_once(message: str) -> None:
    """Log a warning, unless this process, or the one that started it, has done so before."""
    place = str(folder())
    if os.environ.get(_TOLD) != place:
        os.environ[_TOLD] = place
        log.warning("%s", message)


def limit() -> int:
    """Return how many bytes the cache may hold. Raises InputError for no such size."""
    text = os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise InputError(f"{LIMIT_VARIABLE} = {text!r} is no size; write for example 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2]])


def entries(root: Path) -> list[Entry]:
    """Return the files of the cache in that folder."""
    found = {}
    for kind, patterns in KINDS.items():
        for path in (path for pattern in patterns for path in (root / kind).glob(pattern)):
            with suppress(OSError):  # another process may remove it meanwhile
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    used = max(about.st_atime_ns, about.st_mtime_ns)
                    found[path] = Entry(path, kind, about.st_size, used)
    return list(found.values())


def mark_used(path: Path) -> None:
    """Note that a file is used now; where that cannot be noted, it counts as used when made."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def make_room(place: Path, size: int) -> None:
    """Remove what was used longest ago until this many bytes may be added below a kind's folder."""
    kept = entries(place.parent)
    excess = sum(entry.bytes for entry in kept) + size - limit()
    for entry in sorted(kept, key=lambda entry: entry.used_ns):
        if excess <= 0:
            return
        if entry.path.suffix != ".lock" and _removed(entry.path):
            excess -= entry.bytes


def clear() -> dict[str, int]:
    """Remove all that the cache holds; return how many files and bytes that were."""
    gone = [entry for root in _roots() for entry in entries(root) if _removed(entry.path)]
    return {"files": len(gone), "bytes": sum(entry.bytes for entry in gone)}


def describe() -> dict[str, object]:
    """Return where the cache is, its limit, and what it holds by kind."""
    kept = [entry for root in _roots() for entry in entries(root)]
    return {
        "folder": str(folder()),
        "folders": [str(root) for root in _roots() if root.is_dir()],
        "limit_bytes": limit(),
        "bytes": sum(entry.bytes for entry in kept),
        "kinds": {kind: _totals(entry for entry in kept if entry.kind == kind) for kind in KINDS},
    }


def _totals(some: Iterator[Entry]) -> dict[str, int]:
    sizes = [entry.bytes for entry in some]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
