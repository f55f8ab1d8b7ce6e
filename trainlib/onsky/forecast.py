"""What more exposures bring at given conditions, from the exposure time calculator's terms.

N exposures of a star of AB magnitude m (as bright at every wavelength) have, pixel by pixel,

    S/N (N, m) = N s / sqrt(N (f s + b) + N^2 e),

s the star's electrons in one exposure, f their variance for each, b the variance of all else (sky,
moon, stray light, dark current, reading out) and e that of the sky's subtraction, which is the same
in all exposures and sets a limit; told is the median over pixels, as `simulate` does. Where m is
not given it is the one with which the exposures so far have the S/N that they have. These are then
worth N0 exposures at the conditions given, S/N (N0, m) = S/N so far, and

    S/N after n more = S/N (N0 + n, m).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from simlib.bounds import Bound, refuse_out_of_bounds
from simlib.config import NEWEST_INSTRUMENT, SimulationConfig
from simlib.errors import InputError
from simlib.etc.conditions import NEEDED, OPTIONAL
from simlib.etc.conditions_file import read_conditions
from simlib.etc.conditions_list import impossible_moons
from simlib.etc.signal_to_noise import MAGNITUDE
from simlib.instrument import Instrument, load_instrument
from simlib.noise import stack_variance
from simlib.simulation.simulate import terms_at
from simlib.units import ab_flux

TIME = "exposure_time_s"
_COUNTS = (1e-3, 1e6)  # exposures that are looked among
_MAGNITUDES = (-5.0, 35.0)


@dataclass(frozen=True, eq=False)
class Exposures:
    """Counts of one exposure at some conditions, (pixels,): see the module. unit: of m = 0."""

    unit: np.ndarray
    per_electron: np.ndarray
    beside: np.ndarray
    shared: np.ndarray

    def snr(self, count: float, magnitude: float) -> float:
        """Return S/N (N, m)."""
        star = self.unit * 10.0 ** (-0.4 * magnitude)
        variance = count * (self.per_electron * star + self.beside) + count**2 * self.shared
        return float(np.median(count * star / np.sqrt(variance)))

    def magnitude(self, snr: float, count: float) -> float:
        """Return m of S/N (N, m); NaN where there is none."""
        return _root(lambda m: self.snr(count, m) - snr, _MAGNITUDES)

    def count(self, snr: float, magnitude: float) -> float:
        """Return N of S/N (N, m), infinite where no number is enough."""
        found = math.exp(_root(lambda n: self.snr(math.exp(n), magnitude) - snr,
                               (math.log(_COUNTS[0]), math.log(_COUNTS[1]))))  # fmt: skip
        if not math.isnan(found):
            return found
        return 0.0 if self.snr(_COUNTS[0], magnitude) > snr else math.inf


@dataclass(frozen=True, eq=False)
class Forecast:
    """What to expect at conditions. told: these in words. of_time: counts of so many seconds.

    seconds: of an exposure to come; None: as those so far. magnitude: None where it is to be found.
    """

    told: str
    of_time: Callable[[float], Exposures]
    usual_s: float
    seconds: float | None = None
    magnitude: float | None = None

    def after(self, snr: float, exposures: int, each_s: float, more: int) -> float:
        """Return the S/N after some more exposures. each_s: of one so far, NaN if not known."""
        coming, worth, magnitude = self._star(snr, exposures, each_s)
        return coming.snr(worth + more, magnitude) if math.isfinite(worth) else snr

    def needed(self, target: float, snr: float, exposures: int, each_s: float) -> float | None:
        """Return how many more exposures reach a S/N: infinite where none do; None: not known."""
        if snr >= target:
            return 0
        coming, worth, magnitude = self._star(snr, exposures, each_s)
        if math.isnan(magnitude):
            return None
        wanted = coming.count(target, magnitude)
        return math.ceil(wanted - worth - 1e-9) if math.isfinite(wanted) else math.inf

    def time_s(self, each_s: float) -> float:
        """Return how long an exposure to come takes."""
        return self.seconds or (self.usual_s if math.isnan(each_s) else each_s)

    def _star(self, snr: float, exposures: int, each_s: float) -> tuple[Exposures, float, float]:
        """Return counts of an exposure to come, how many those so far are worth, and m."""
        coming = self.of_time(self.time_s(each_s))
        past = coming if math.isnan(each_s) else self.of_time(each_s)
        if self.magnitude is None:
            magnitude = past.magnitude(snr, exposures)
            worth = float(exposures) if past is coming else coming.count(snr, magnitude)
            return coming, worth, magnitude
        return coming, coming.count(snr, self.magnitude), self.magnitude


def forecast_at(
    given: Mapping[str, float],
    listed: str | Path | None = None,
    *,
    magnitude: float | None = None,
    instrument: str = NEWEST_INSTRUMENT,
) -> Forecast:
    """Return the forecast at conditions.

    given: by the names of `NEEDED`, and `exposure_time_s`; before those of `listed`, a file of
    one row. What neither holds is the middle of the range that the config draws from, and told so.
    Raises InputError for what cannot be.
    """
    config = SimulationConfig()
    values: dict[str, float] = {} if listed is None else _only_row(listed)
    for name, value in given.items():
        _refuse(name, value, (NEEDED | OPTIONAL)[name])
        values[name] = value
    if magnitude is not None:
        _refuse("magnitude", magnitude, MAGNITUDE)
    known = {name: values.get(name, float(np.mean(getattr(config.conditions, name))))
             for name in NEEDED}  # fmt: skip
    sky = xr.Dataset({name: ("spectrum", [value]) for name, value in known.items()})
    arm = load_instrument(instrument)
    words = ", ".join(
        f"{name.replace('_', ' ')} {value:g}{f' {NEEDED[name].unit}'.rstrip()}"
        f"{'' if name in values else ' (assumed)'}"
        for name, value in known.items()
    )
    return Forecast(
        told=f"{words}; {arm.name}{f'; {odd}' if (odd := impossible_moons(sky)) else ''}",
        of_time=lru_cache(maxsize=64)(lambda seconds: _exposures(sky, arm, config, seconds)),
        usual_s=config.conditions.exposure_time_s,
        seconds=values.get(TIME),
        magnitude=magnitude,
    )


def _refuse(name: str, value: float, bound: Bound) -> None:
    option = f"--{name.removesuffix('_s').replace('_', '-')}"
    refuse_out_of_bounds(name, np.array([value]), bound, lambda _: option)


def _only_row(listed: str | Path) -> dict[str, float]:
    found = read_conditions(listed)
    if (rows := found.sizes["condition"]) != 1:
        raise InputError(
            f"{listed} has {rows} conditions; one row was expected, that of what comes"
        )
    return {name: float(found[name].values[0]) for name in (*NEEDED, TIME) if name in found}


def _exposures(
    sky: xr.Dataset, arm: Instrument, config: SimulationConfig, seconds: float
) -> Exposures:
    terms = terms_at(sky.assign({TIME: ("spectrum", [seconds])}), arm, config).isel(spectrum=0)
    # The variance of a stack is quadratic in exposures and linear in electrons: three tell it all.
    one, two, bright = (
        np.broadcast_to(
            stack_variance(terms.assign(exposure_count=count), source), terms.wavelength.shape
        )
        for count, source in ((1.0, 0.0), (2.0, 0.0), (1.0, 1.0))
    )
    shared = 0.5 * two - one
    unit = terms["conversion_e"].values * ab_flux(0.0, terms["wavelength"].values)
    return Exposures(unit, bright - one, one - shared, shared)


def _root(function: Callable[[float], float], between: tuple[float, float]) -> float:
    low, high = between
    ends = function(low), function(high)
    if not ends[0] * ends[1] < 0.0:
        return math.nan
    return float(brentq(function, low, high, xtol=1e-10, rtol=1e-10))
