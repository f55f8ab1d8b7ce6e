"""`python -m tests.trainlib.forked_ranks DIRECTORY …`: trains each prepared run with all its ranks.

They are forked from one process that has loaded what takes longest in a start; else they begin as
torchrun's do. Each rank's clock is its own: a step takes rank 0 a second, rank 1 two.
"""

import os
import socket
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import dask.array  # noqa: F401 - xarray would load it in every rank
import torch

from tests.trainlib.training_runs import Clock
from trainlib import runs
from trainlib.training import train
from trainlib.training.calibration import calibration_modes

PIXELS = 128  # of the toy


def train_as_rank(directory: Path, rank: int, world: int, port: int) -> int:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), GLOO_SOCKET_IFNAME="lo",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    train.time = Clock(step=rank + 1.0)  # type: ignore[attr-defined]
    with train.time:  # type: ignore[attr-defined]
        return train.main([str(directory)])


_PORTS = count()


def free_port() -> int:
    """Return a port that nothing takes until it is asked for by number.

    Below those that a system gives to who asks for any, and not those of the tests beside.
    """
    worker = int("0" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")) % 10
    while True:
        port = 20_000 + 1_000 * worker + (os.getpid() + next(_PORTS)) % 1_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def make_ready() -> None:
    """Load and compute what every rank would, without a thread: threads do not survive a fork."""
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # loads much of torch
    calibration_modes(PIXELS, 0.12, True)


def main() -> int:
    make_ready()
    failed = 0
    for directory in map(Path, sys.argv[1:]):
        world, port = runs.read_config(directory).train.ranks or 1, free_port()
        ranks = []
        for rank in range(world):
            if (process := os.fork()) == 0:
                os._exit(train_as_rank(directory, rank, world, port))
            ranks.append(process)
        failed += sum(os.waitpid(process, 0)[1] != 0 for process in ranks)
    return failed


if __name__ == "__main__":
    sys.exit(main())
