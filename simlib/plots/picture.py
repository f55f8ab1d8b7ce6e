"""What a picture shows, whoever draws it: panels over wavelength, with curves, bands and marks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INK, NOISY, DENOISED, PALE = "#22282e", "#b9c0c7", "#c2410c", "#a9c7e4"


@dataclass(frozen=True, eq=False)
class Curve:
    """One line; values may hold NaN, where it is broken. is_behind: drawn before the others."""

    label: str
    values: np.ndarray
    colour: str
    width: float = 0.8
    is_behind: bool = False


@dataclass(frozen=True, eq=False)
class Band:
    """What lies between two curves."""

    label: str
    low: np.ndarray
    high: np.ndarray
    colour: str = PALE


@dataclass(frozen=True)
class Mark:
    """A line of a spectrum, where it is seen."""

    wavelength_nm: float
    label: str


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes. wavelength: nm, vacuum. limits: of the values shown, None to show all."""

    title: str
    unit: str
    wavelength: np.ndarray
    curves: tuple[Curve, ...]
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()
    is_logarithmic: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """Panels one below the other, which share the wavelength."""

    title: str
    panels: tuple[Panel, ...]

    @property
    def range_nm(self) -> tuple[float, float]:
        """Return the first and last wavelength of any panel."""
        return (
            min(float(panel.wavelength[0]) for panel in self.panels),
            max(float(panel.wavelength[-1]) for panel in self.panels),
        )


def spread(places: Sequence[float], least: float) -> list[float]:
    """Return increasing places moved apart to a least distance, each run about its own middle."""
    runs: list[list[float]] = []  # each with the places that ended up together
    for place in places:
        runs.append([place])
        while len(runs) > 1 and _first(runs[-1], least) < _last(runs[-2], least) + least:
            together = runs.pop()
            runs[-1] += together
    return [_first(run, least) + least * i for run in runs for i in range(len(run))]


def _first(run: Sequence[float], least: float) -> float:
    return sum(run) / len(run) - 0.5 * least * (len(run) - 1)


def _last(run: Sequence[float], least: float) -> float:
    return _first(run, least) + least * (len(run) - 1)
