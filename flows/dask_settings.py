"""The settings of Dask's own that matter for our work, each with its reason."""

from typing import Any

SETTINGS: dict[str, Any] = {
    # A worker may be lost five times under one block (a machine is taken away, memory runs out)
    # before the block counts as what ends workers. Read once, when a scheduler starts.
    "distributed.scheduler.allowed-failures": 5,
    # A worker holds no block but those it is at, so that none waits behind one that hangs.
    "distributed.scheduler.worker-saturation": 1.0,
    # A machine that went without a word is given up after this, not after five minutes; longer
    # than any time for which compiled code may keep a worker from answering.
    "distributed.scheduler.worker-ttl": "120s",
    # What a task returns is a few numbers: there is nothing that could be spilled to a disk.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    # For its profile a worker looks at itself 20 times a second, not 100, which took 4 % of a core.
    "distributed.worker.profile.interval": "50ms",
    # Over its limit a worker is started anew by its nanny. Close to it, it goes on: what it holds
    # between two blocks is there to stay, and one that waited for less would wait for ever.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}

# Of a worker's process. The arrays of a block are as large as those of the one before: their memory
# is kept for it, where Dask would give it back, to be asked for again page by page.
ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}


def as_environment() -> dict[str, str]:
    """Return both as variables that Dask reads where a process of it starts."""
    return ENVIRONMENT | {
        "DASK_" + key.replace("-", "_").replace(".", "__").upper(): str(value)
        for key, value in SETTINGS.items()
    }
