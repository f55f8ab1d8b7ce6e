"""The augmentation where a GPU is: the same numbers as on the processor, and nothing waits for it.

NumPy's Philox in whole numbers of tensors (64 bits, which wrap as unsigned ones do), normals made
of its words as in `kernels`, the formula of `augment`: one function from what was drawn to the
batch, which torch compiles for a GPU. Integers are the processor's, floats are to 1e-6.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from math import pi
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

_FACTORS = 0xD2E7470EE14C6C93 - 2**64, 0xCA5A826395121157 - 2**64
_BUMPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10
_LOW = 2**32 - 1
_SMALLEST = 2.0**-26


def is_on_one(values: Tensor) -> bool:
    """Tell whether values are on a device of which the compiled loops know nothing."""
    return values.device.type != "cpu"


def at(device: torch.device, start: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Return the first row and the epoch on a device: filled there, while the processor goes on."""
    first, second = (
        torch.full((), number, dtype=torch.int64, device=device) for number in (start, epoch)
    )
    return first, second


def words(key: Sequence[int], place: tuple[Tensor, Tensor], rows: int, count: int) -> Tensor:
    """Return (rows, count) random int32 of rows that own so many each, as `normals.words` has them.

    key: of the stream. place: the first row and the epoch, int64 scalars on the device.
    """
    start, epoch = place
    steps = torch.arange(rows * count // 8, dtype=torch.int64, device=start.device)
    a, b = steps + (start * (count // 8) + 1), epoch.expand(len(steps))
    c = d = torch.zeros_like(a)
    for number in range(_ROUNDS):
        x, y = (_wrapped(half + number * bump) for half, bump in zip(key, _BUMPS, strict=True))
        (upper, lower), (high, low) = _product(_FACTORS[0], a), _product(_FACTORS[1], c)
        a, b, c, d = high ^ b ^ x, low, upper ^ d ^ y, lower
    halves = [half for word in (a, b, c, d) for half in (word << 32 >> 32, word >> 32)]
    return torch.stack([half.to(torch.int32) for half in halves], dim=1).view(rows, count)


def _wrapped(whole: int) -> int:
    """Return what 64 bits with a sign hold of a whole number."""
    return (whole + 2**63) % 2**64 - 2**63


def _product(factor: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper and the lower 64 bits of the product with an unsigned word."""
    low, high = factor & _LOW, factor >> 32 & _LOW
    word_low, word_high = word & _LOW, _upper(word)
    beside = high * word_low + _upper(low * word_low)
    other = low * word_high + (beside & _LOW)
    return high * word_high + _upper(beside) + _upper(other), word * factor


def _upper(word: Tensor) -> Tensor:
    return word >> 32 & _LOW


def uniforms_from(bits: Tensor) -> Tensor:
    """Map int32 to float32 in [0, 1]."""
    return bits.float() * 2.0**-32 + 0.5


def normals_from(bits: Tensor) -> Tensor:
    """Map int32 of shape (rows, even) to normals of unit variance; see `normals.normals_from`."""
    of_radius, of_angle = bits.chunk(2, dim=1)
    radius = (-2.0 * uniforms_from(of_radius).clamp_min(_SMALLEST).log()).sqrt()
    angle = of_angle.float() * (2.0 * pi * 2.0**-32)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)


def noisy_rows(
    normals: Tensor, flux: Tensor, sigma: Tensor, columns: Sequence[Tensor], curves: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the augmented flux, the same with noise, and its variance, each (rows, pixels).

    columns: (rows,) scale, offset, and the largest error of the calibration, times the scale.
    curves: that the error goes with, (rows, pixels), or no row at all.
    """
    scale, offset, largest = (column[:, None] for column in columns)
    factor = scale
    if len(curves):
        factor = scale + largest / curves.abs().amax(dim=1, keepdim=True) * curves
    target = flux * factor + offset
    spread = sigma * scale
    return target, target + spread * normals, spread.square()


def hidden_runs(
    drawn: Tensor, first: int, most: int, lengths: tuple[int, int], count: Tensor, pixels: int
) -> Tensor:
    """Return which pixels (rows, pixels) the first `count` (rows,) runs of masked ones reach.

    drawn: int32 of the rows; (first pixel, length) of each of `most` runs from word `first` on.
    lengths: of a run, at least and at most.
    """
    runs = drawn[:, first : first + 2 * most].long() & _LOW
    begin = runs[:, ::2] * pixels >> 32
    end = begin + lengths[0] + (runs[:, 1::2] * (lengths[1] - lengths[0] + 1) >> 32)
    end = torch.where(torch.arange(most, device=drawn.device) < count[:, None], end, 0)
    pixel = torch.arange(pixels, device=drawn.device)
    found = torch.zeros(len(drawn), pixels, dtype=torch.bool, device=drawn.device)
    for run in range(most):
        found |= (pixel >= begin[:, run, None]) & (pixel < end[:, run, None])
    return found


def how_many(drawn: Tensor, most: int) -> Tensor:
    """Return int64 0 … most of random int32: none for half of them, else evenly from 1 on.

    As `kernels.masked_rows` counts gaps and cosmic rays.
    """
    some = 1 + ((drawn.long() & (2**31 - 1)) * most >> 31) if most else torch.zeros_like(drawn)
    return torch.where(drawn < 0, some, 0).long()


@cache
def compiled(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """Return a function as torch compiles it for a kind of device; as it is on a processor.

    Where it cannot be compiled, it runs as it is, which takes longer, and that is said once.
    """
    if kind == "cpu":
        return function
    quick = torch.compile(function)

    def tried(*arguments: Any) -> Any:
        nonlocal quick
        try:
            return quick(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            if quick is function:
                raise
            log.warning("torch cannot compile the augmentation here, which goes on without: %s",
                        str(error).splitlines()[0])  # fmt: skip
            quick = function
            return function(*arguments)

    return tried
