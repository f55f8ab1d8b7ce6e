"""Arrays that all ranks of a host see: one copy of what each of them reads a part of."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from simlib.errors import InputError
from trainlib.training.distributed import Ranks

_MEMORY = Path("/dev/shm")


def shared_arrays(names: tuple[str, ...], shape: tuple[int, ...], ranks: Ranks) -> list[np.ndarray]:
    """Return float32 arrays of a shape, zeros, that the ranks of a host write and read together.

    They live in a file that loses its name when all have it, and goes with the last of them; what
    ranks left that were killed before goes at the next start. A rank that is alone gets arrays of
    its own. Raises InputError where there is no room for them.
    """
    if ranks.world == 1:
        return [np.zeros(shape, np.float32) for _ in names]
    size = 4 * int(np.prod(shape))
    path = _folder(size * len(names)) / f"{_prefix()}{_start()}"
    descriptor: int | None = None
    first = int(os.environ.get("LOCAL_RANK", str(ranks.rank))) == 0
    try:
        if first:
            descriptor = _create(path, size * len(names))
        ranks.wait()
        arrays = [
            np.memmap(path, np.float32, "r+", offset=number * size, shape=shape)
            for number in range(len(names))
        ]
        ranks.wait()
    except OSError as error:
        raise InputError(
            f"no room for the training spectra, {size * len(names) / 1e9:.3g} GB, in {path.parent} "
            f"({error.strerror}); free some, name another folder in TMPDIR, or lower "
            "train.memory_gb: then they are made again as they are needed"
        ) from None
    finally:
        if first:
            with suppress(OSError):
                path.unlink()
            if descriptor is not None:
                os.close(descriptor)
    return list(arrays)


def _create(path: Path, size: int) -> int:
    """Make a file of zeros, held by a lock for as long as its descriptor, which is returned."""
    for left in path.parent.glob(f"{_prefix()}*"):
        with suppress(OSError), left.open("rb") as file:  # one that is held is of another start
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    beside = path.with_name(f".{path.name}")  # it is held before it can be found
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    beside.rename(path)
    if hasattr(os, "posix_fallocate"):  # else a write without room would end the process
        os.posix_fallocate(descriptor, 0, size)
    os.truncate(descriptor, size)
    return descriptor


def _folder(size: int) -> Path:
    with suppress(OSError):
        if shutil.disk_usage(_MEMORY).free > size and os.access(_MEMORY, os.W_OK):
            return _MEMORY
    return Path(tempfile.gettempdir())


def _prefix() -> str:
    return f"specdenoise-{os.getuid()}-"


def _start() -> str:
    """Return what the ranks of this start agree on, and those of no other."""
    start = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
    told = "\0".join(os.environ.get(name, "") for name in start)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
