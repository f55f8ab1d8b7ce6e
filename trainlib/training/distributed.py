"""Ranks: who is here, and the few things they tell each other."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from simlib.errors import InputError

_POLL_S = 0.1
_STEP_TIMEOUT = timedelta(minutes=30)  # of one collective: a rank may be reading its data


@dataclass(frozen=True)
class Ranks:
    """This process among all: rank 0 writes. device: where it computes, or its spectra are held."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def part(self, rows: int) -> slice:
        """Return the contiguous share of `rows` that is this rank's."""
        return slice(rows * self.rank // self.world, rows * (self.rank + 1) // self.world)

    def part_here(self, rows: int) -> slice:
        """Return the share of `rows` that is this rank's among those of its host."""
        rank = int(os.environ.get("LOCAL_RANK", str(self.rank)))
        world = int(os.environ.get("LOCAL_WORLD_SIZE", str(self.world)))
        return slice(rows * rank // world, rows * (rank + 1) // world)

    def sum(self, *values: float) -> list[float]:
        """Return the sums over ranks, in float64."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=_talking())
        dist.all_reduce(total)
        return total.tolist()

    def least(self, value: float) -> float:
        """Return the least over ranks."""
        if self.world == 1:
            return value
        least = torch.tensor(value, dtype=torch.float64, device=_talking())
        dist.all_reduce(least, dist.ReduceOp.MIN)
        return float(least)

    def wait(self) -> None:
        """Wait for all ranks to come here."""
        if self.world > 1:
            dist.barrier()

    def from_first(self, tensor: Tensor) -> Tensor:
        """Return rank 0's tensor; the others' is overwritten."""
        if self.world > 1:
            dist.broadcast(tensor, src=0)
        return tensor


def _talking() -> str:
    """Return the kind of device whose numbers the ranks can tell each other."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def choose_device(name: str, local_rank: int) -> torch.device:
    """Return the device of a rank; "auto" takes a GPU where there is one."""
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise InputError("train.device = 'cuda' but no GPU is visible; set train.device = 'auto'")
    if name == "cpu" or not has_gpu:
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"rank {local_rank} has no GPU: {torch.cuda.device_count()} visible on this host; "
            f"set train.ranks = {torch.cuda.device_count()} or train.device = 'cpu'"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def joined_ranks(
    device_name: str, timeout_s: float, expected: int | None = None
) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, as its environment says; alone without it.

    expected: the ranks that the config asks for, None for as many as were started. Raises
    InputError when these differ, or when not all appear within the time.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if expected not in (None, world):
        raise InputError(
            f"{world} of {expected} ranks were started: start {expected} with torchrun or set "
            f"train.ranks={world}"
        )
    device = choose_device(device_name, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Ranks(0, 1, device)
        return
    store = _meet(rank, world, timeout_s)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        timeout=_STEP_TIMEOUT,
    )
    try:
        yield Ranks(rank, world, device)
    finally:
        dist.destroy_process_group()


def _meet(rank: int, world: int, timeout_s: float) -> Store:
    """Return the common store once every rank has signed in."""
    host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    if not host or not port.isdigit():
        raise InputError(
            f"rank {rank} of {world} does not know where to meet the others: start the ranks with "
            "torchrun, or set MASTER_ADDR and MASTER_PORT"
        )
    end = time.monotonic() + timeout_s
    # torchrun keeps the store itself; ranks started otherwise leave it to rank 0
    is_keeper = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    while not is_keeper and not _is_listening(host, int(port)):
        if time.monotonic() > end:
            raise InputError(
                f"rank {rank} of {world} found nobody at {host}:{port} within {timeout_s:g} s: "
                "start rank 0 or set train.ranks=1"
            )
        time.sleep(_POLL_S)
    tcp = TCPStore(
        host,
        int(port),
        world,
        is_keeper,
        timeout=timedelta(seconds=timeout_s),
        wait_for_workers=False,
        multi_tenant=True,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"specdenoise-{attempt}", tcp)
    store.add("joined", 1)
    while (joined := store.add("joined", 0)) < world:
        if time.monotonic() > end:
            missing = "the other" if world - joined == 1 else f"the other {world - joined}"
            raise InputError(
                f"{joined} of {world} ranks joined within {timeout_s:g} s: "
                f"start {missing} or set train.ranks={joined}"
            )
        time.sleep(_POLL_S)
    return store


def _is_listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
