"""Arithmetic inside a network: bfloat16 while it trains, where that is asked for and fast.

What goes in and what comes out stays float32, and so does the loss.
"""

from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import nn


class ShortInside(nn.Module):
    """A network whose inner products may be short. is_short: they are, while it trains."""

    is_short: bool = False

    def inside(self, kind: str) -> AbstractContextManager[None]:
        """Return what its inner layers run within, on a kind of device."""
        return torch.autocast(kind, torch.bfloat16, enabled=self.is_short and self.training)


@cache
def is_short_fast(kind: str) -> bool:
    """Return whether a kind of device multiplies in bfloat16: many a processor is slower in it."""
    known = torch.cpu.get_capabilities()
    return kind != "cpu" or any(known.get(f"{name}bf16") for name in ("avx512_", "amx_", ""))
