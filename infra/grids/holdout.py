"""Held-out stars: spectra at random parameters, by the grid's recipe, against its interpolation.

Errors are of the flux over the continuum, at R = 5000 and in the spectrograph's arm. They are
pooled apart for warm and cool stars, and for the corner where TiO hides the continuum and the
structures are extrapolated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from infra.grids.recipe import ALPHA, FEH, LOGG, TEFF, Node
from infra.grids.synthesis import node_file
from simlib.stellar import interpolate_grid
from simlib.stellar.quality.leave_one_out import ARM, WARM
from simlib.stellar.quality.resolution import degrade

FOLDER = "holdout"
RESOLUTION = 5000.0
POOLS = {"warm": 0.002, "cool": 0.005, "corner": None}  # bars of the rms
HOTTEST_CORNER, POOREST_CORNER = 3600.0, 0.5  # K, [M/H]
Ranges = Mapping[str, tuple[float, float]]
AXES = {"teff": TEFF, "logg": LOGG, "feh": FEH, "alpha": ALPHA}
ENDS = {name: (min(axis), max(axis)) for name, axis in AXES.items()}


@dataclass(frozen=True)
class StarError:
    """How far the interpolation is from one star's spectrum, in units of the continuum."""

    star: Node
    pool: str  # warm, cool or corner
    rms: float
    largest: float
    continuum: float  # rms of the relative error of the continuum itself


@dataclass(frozen=True)
class Pool:
    """The stars of one kind together."""

    stars: int
    bar: float | None
    rms: float  # over all their pixels
    median: float  # of the rms of a star
    worst: float

    @property
    def is_within_bar(self) -> bool:
        """Whether the bar, if there is one, is kept."""
        return self.bar is None or self.rms < self.bar


def draw_stars(count: int, seed: int, ranges: Ranges | None = None) -> list[Node]:
    """Return stars with parameters uniform over the grid; star i is the same whatever the count.

    ranges: narrower ends of some axes.
    """
    low, high = np.array([(ranges or {}).get(name, ENDS[name]) for name in AXES], dtype=float).T
    streams = (np.random.Philox(key=seed, counter=[i, 0, 0, 0]) for i in range(count))
    shares = (np.random.Generator(stream).random(len(AXES)) for stream in streams)
    return [Node(*(low + share * (high - low)).tolist()) for share in shares]


def pool_of(star: Node) -> str:
    """Return which pool a star belongs to."""
    if star.teff >= WARM:
        return "warm"
    is_corner = star.teff < HOTTEST_CORNER and star.feh > POOREST_CORNER
    return "corner" if is_corner else "cool"


def compare_star(
    grid: xr.Dataset,
    star: Node,
    flux: np.ndarray,
    continuum: np.ndarray,
    through: str = "flux",
) -> StarError:
    """Compare one star's spectrum with the grid's, on the grid's wavelengths."""
    expected = interpolate_grid(grid, **asdict(star), through=through)
    wavelength, native = grid["wavelength_model"].values, float(grid.attrs["resolution"])
    error = degrade(
        expected["flux_normalized"].values - flux, wavelength, native, RESOLUTION
    )[(wavelength >= ARM[0]) & (wavelength <= ARM[1])]  # fmt: skip
    at = grid["wavelength_continuum"].values
    inside = (at >= ARM[0]) & (at <= ARM[1])
    ratio = expected["continuum"].values[inside] / continuum[inside] - 1
    return StarError(
        star,
        pool_of(star),
        rms=root_mean_square(error),
        largest=float(np.abs(error).max()),
        continuum=root_mean_square(ratio),
    )


def compare_stars(
    grid: xr.Dataset, work: Path, stars: Sequence[Node], through: str = "flux"
) -> list[StarError]:
    """Compare computed stars with the grid's interpolation, one by one."""
    errors = []
    for star in stars:
        with np.load(node_file(work, star, FOLDER)) as computed:
            flux = computed["n"].astype(float)
            errors.append(compare_star(grid, star, flux, computed["c"], through))
    return errors


def pool_errors(errors: Sequence[StarError]) -> dict[str, Pool]:
    """Return each kind of star that is there, over all its stars and pixels."""
    pools = {}
    for name, bar in POOLS.items():
        rms = np.array([error.rms for error in errors if error.pool == name])
        if len(rms):
            worst, median = float(rms.max()), float(np.median(rms))
            pools[name] = Pool(len(rms), bar, root_mean_square(rms), median, worst)
    return pools


def root_mean_square(values: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
