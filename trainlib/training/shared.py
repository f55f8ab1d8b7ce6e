"""Arrays that all ranks of a host see: one copy of what each of them reads a part of."""

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

    They live in a file without a name, which goes with the last of them. A rank that is alone gets
    arrays of its own. Raises InputError where there is no room for them.
    """
    if ranks.world == 1:
        return [np.zeros(shape, np.float32) for _ in names]
    size = 4 * int(np.prod(shape))
    path = _folder(size * len(names)) / _name()
    first = int(os.environ.get("LOCAL_RANK", str(ranks.rank))) == 0
    try:
        if first:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            if hasattr(os, "posix_fallocate"):  # else a write without room would end the process
                os.posix_fallocate(descriptor, 0, size * len(names))
            os.truncate(descriptor, size * len(names))
            os.close(descriptor)
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
    return list(arrays)


def _folder(size: int) -> Path:
    with suppress(OSError):
        if shutil.disk_usage(_MEMORY).free > size and os.access(_MEMORY, os.W_OK):
            return _MEMORY
    return Path(tempfile.gettempdir())


def _name() -> str:
    """Return a name that the ranks of this start agree on, and those of no other."""
    start = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
    told = "\0".join(os.environ.get(name, "") for name in start)
    return f"specdenoise-{os.getuid()}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
