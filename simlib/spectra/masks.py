"""Masks of observed pixels: planes by the names that the file gives to its bits.

The numbers of bits are not fixed in the survey's files: a plane is known by its name alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simlib.errors import InputError

USUAL = "usual"
# What a plane's name must be for its pixels to be rejected. `ga`: as the survey's pipeline for
# stars does. `coadd`: as its stacking does. Known lines and traces (REFLINE, FIBERTRACE) never do.
REJECTED: dict[str, frozenset[str]] = {
    USUAL: frozenset({
        "BAD", "SAT", "CR", "NO_DATA", "UNMASKEDNAN", "SUSPECT", "BAD_FLAT", "BAD_SKY",
        "BAD_FLUXCAL", "BAD_FIBERNORMS", "BAD_FIBERTRACE",
    }),
    "ga": frozenset({"BAD", "CR", "SAT", "UNMASKEDNAN"}),
    "coadd": frozenset({"NO_DATA", "SUSPECT", "BAD_SKY", "BAD_FLUXCAL", "BAD_FIBERNORMS"}),
}  # fmt: skip
_PREFIX = "MP_"
_BITS = 64


def planes_of(cards: Mapping[str, Any]) -> dict[str, int]:
    """Return the bit of each plane that a header, or a table of metadata, names as `MP_…`.

    Raises InputError for a bit that no mask has.
    """
    planes: dict[str, int] = {}
    for key in cards:
        if not str(key).upper().startswith(_PREFIX):
            continue
        bit = cards[key]
        if isinstance(bit, bool) or not isinstance(bit, int) or not 0 <= bit < _BITS:
            raise InputError(
                f"its mask plane {str(key)[:40]} is bit {str(bit)[:20]}; 0 to 63 exist"
            )
        planes[str(key).upper().removeprefix(_PREFIX)] = bit
    return planes


def rejected(mask: np.ndarray, planes: Mapping[str, int], reject: str) -> np.ndarray:
    """Return where a mask of integers rejects a pixel.

    reject: a name of `REJECTED`. Bits without a name reject nothing where others have one. Raises
    InputError for a mask that is no integers, and for one with bits set where no plane is named.
    """
    if not np.issubdtype(mask.dtype, np.integer):
        raise InputError(f"its mask holds {mask.dtype}; integers were expected")
    bits = mask.view(mask.dtype.str.replace("i", "u"))
    if not planes:
        if bits.any():
            raise InputError(
                "its mask has bits set but names no plane (MP_… cards); remove the mask to use all "
                "pixels"
            )
        return np.zeros(mask.shape, dtype=bool)
    wanted = sum({1 << bit for name, bit in planes.items() if name in REJECTED[reject]})
    held = wanted & (2 ** (8 * bits.dtype.itemsize) - 1)
    return np.asarray((bits & bits.dtype.type(held)) != 0)
