"""What a number that someone gives may be, and the message where it is not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError


@dataclass(frozen=True)
class Bound:
    """The values that a number may have."""

    low: float
    high: float
    unit: str = ""
    low_is_allowed: bool = True

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return where values are allowed; NaN is not."""
        above = values >= self.low if self.low_is_allowed else values > self.low
        return np.asarray(above & (values <= self.high))

    def __str__(self) -> str:
        """Write the bound as a person reads it."""
        bracket = "[" if self.low_is_allowed else "("
        return f"{bracket}{self.low:g}, {self.high:g}] {self.unit}".rstrip()


FINITE = Bound(-1e30, 1e30)  # room for what is computed from it
FRACTION = Bound(0.0, 1.0)
WAVELENGTH = Bound(1.0, 1e6, "nm")


def refuse_out_of_bounds(
    name: str, values: np.ndarray, bound: Bound, place: Callable[[int], str] = "row {}".format
) -> None:
    """Raise InputError for the first value out of bounds; `place` names its row."""
    bad = np.flatnonzero(~bound.holds(values))
    if bad.size:
        value = values[bad[0]]
        found = "not a number" if np.isnan(value) else f"{value:g} {bound.unit}".rstrip()
        more = f" (and {bad.size - 1} more)" if bad.size > 1 else ""
        raise InputError(f"{place(int(bad[0]))}{more}: {name} is {found}; it must lie in {bound}")
