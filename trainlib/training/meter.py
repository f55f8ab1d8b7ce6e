"""What a training takes of its machines: memory, and how near to their peak it computes."""

import os
import resource
import sys
import time

import psutil
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainlib.training.distributed import Ranks

# FLOP/s of dense products in float32, by the makers' data sheets; what is more special comes first
PEAKS = {"H100 PCIe": 51.2e12, "H100": 66.9e12, "H200": 66.9e12, "A100": 19.5e12, "V100": 15.7e12}
_ROWS = 8  # of which the operations are counted
_SIDE, _SIDE_ON_DEVICE, _TRIES = 1024, 8192, 5  # of a product that is timed
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def memory_bytes(ranks: Ranks) -> tuple[int, int | None]:
    """Return the most that all ranks held together in memory, and on devices where there are any.

    What the ranks of a host share, the loaded libraries among it, is counted once.
    """
    most = _RSS_UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shared = getattr(psutil.Process().memory_info(), "shared", 0)
    is_first_here = int(os.environ.get("LOCAL_RANK", str(ranks.rank))) == 0
    is_on_device = ranks.device.type == "cuda"
    device = torch.cuda.max_memory_allocated(ranks.device) if is_on_device else 0
    held, held_on_devices = ranks.sum(most - (0 if is_first_here else shared), device)
    return round(held), round(held_on_devices) if is_on_device else None


def peak_rate(ranks: Ranks, is_measured: bool) -> float | None:
    """Return the FLOP/s in float32 that all ranks reach at most; None where nobody knows.

    is_measured: by a product of large matrices, all ranks at once, else as the data sheet says.
    """
    own = _measured(ranks.device) if is_measured else _known(ranks.device)
    (together,) = ranks.sum(own)
    return together or None


def flops_a_spectrum(
    objective: nn.Module, inputs: tuple[Tensor, ...] | None, *, is_trained: bool = True
) -> float:
    """Return the operations of matrix products that a spectrum takes, forward and back.

    inputs: what the objective takes of some spectra; without any, nothing is counted. is_trained:
    False for those of a validation.
    """
    if inputs is None:
        return 0.0
    some = [part[:_ROWS] for part in inputs]
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(is_trained):
        errors = objective(*some)
        if is_trained:
            errors.sum().backward()
    objective.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) / len(some[0])


def _known(device: torch.device) -> float:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def _measured(device: torch.device) -> float:
    side = _SIDE_ON_DEVICE if device.type == "cuda" else _SIDE
    factor, seconds = torch.rand(side, side, device=device), []
    for _ in range(_TRIES):
        begin = time.perf_counter()
        product = factor @ factor
        float(product[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - begin)
    return 2.0 * side**3 / min(seconds)
