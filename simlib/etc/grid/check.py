"""How far interpolated terms are from the calculator's own, measured at random conditions."""

import itertools
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.etc.grid.build import RANGED
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from simlib.noise import stack_variance

ROWS = 2048
ROWS_AT_ONCE = 128
FACTORS = ("atmosphere_transmission", "aperture_fraction", "effective_area_m2", "conversion_e")
NOISE = ("sky_continuum_e", "sky_lines_e", "moon_e", "stray_e", "sky_subtraction_variance_e2")
TOTAL = "total_variance"
SEEN = 0.01  # of the total variance: a fainter noise term is not judged by itself


@dataclass(frozen=True)
class Error:
    """Relative error of one term over all pixels and conditions."""

    largest: float
    rms: float


@dataclass(frozen=True)
class GridCheck:
    """What was compared, and how well it agreed."""

    rows: int
    seed: int
    tolerance: float
    errors: dict[str, Error] = field(default_factory=dict)

    @property
    def worst(self) -> tuple[str, float]:
        """The term that is farthest off, and how far."""
        name = max(self.errors, key=lambda term: self.errors[term].largest)
        return name, self.errors[name].largest

    @property
    def is_good(self) -> bool:
        """Whether every term is within the tolerance."""
        return self.worst[1] <= self.tolerance

    def record(self) -> dict[str, Any]:
        """Return plain data for manifests and `--json`."""
        return asdict(self) | {"is_good": self.is_good, "compared_terms_above": SEEN}


def random_conditions(config: SimulationConfig, rows: int, seed: int) -> xr.Dataset:
    """Return conditions uniform in the config's ranges, and every corner of them."""
    limits = np.array([getattr(config.conditions, name) for name in RANGED])
    shares = np.random.default_rng(seed).random((rows, len(RANGED)))
    inside = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * shares
    corners = np.array(list(itertools.product(*limits)))
    values = np.concatenate([corners, inside]).T
    return xr.Dataset({name: ("condition", x) for name, x in zip(RANGED, values, strict=True)})


def check_terms_grid(
    grid: xr.Dataset, config: SimulationConfig, rows: int = ROWS, seed: int = 0
) -> GridCheck:
    """Return the largest and rms relative error of every interpolated term.

    Noise terms count where they exceed 1 % of the total variance; the factors of the conversion
    and the total variance (without a target) count everywhere.
    """
    conditions = random_conditions(config, rows, seed)
    total = conditions.sizes["condition"]
    sums: dict[str, list[float]] = {}
    for start in range(0, total, ROWS_AT_ONCE):
        some = conditions.isel(condition=slice(start, start + ROWS_AT_ONCE))
        off = _errors(interpolate_terms(grid, some), _direct(some, config))
        for name, values in off.items():
            largest, squares, count = sums.get(name, (0.0, 0.0, 0.0))
            sums[name] = [
                max(largest, float(values.max(initial=0.0))),
                squares + float(np.sum(values**2)),
                count + values.size,
            ]
    errors = {
        name: Error(largest, float(np.sqrt(squares / max(count, 1))))
        for name, (largest, squares, count) in sums.items()
    }
    return GridCheck(total, seed, config.terms.tolerance, errors)


def refuse_a_bad_grid(check: GridCheck) -> None:
    """Raise InputError for a grid above its tolerance, with the knobs that mend it."""
    if not check.is_good:
        name, largest = check.worst
        raise InputError(
            f"the terms grid is too coarse: {name} is {100 * largest:.3g} % off at worst over "
            f"{check.rows} conditions, {100 * check.tolerance:.3g} % is allowed; nothing is "
            "published. Raise the node counts in [terms] or terms.tolerance"
        )


def _direct(conditions: xr.Dataset, config: SimulationConfig) -> xr.Dataset:
    return run_etc(
        conditions,
        load_instrument(config.instrument.name),
        load_sky(config.sky),
        exposure_time_s=config.conditions.exposure_time_s,
        convention=config.terms.convention,
        quadrature=config.terms.quadrature,
        lsf=config.instrument.lsf,
    )


def _errors(found: xr.Dataset, true: xr.Dataset) -> dict[str, np.ndarray]:
    total = stack_variance(true, 0.0).transpose("condition", "wavelength").values
    off = stack_variance(found, 0.0).transpose("condition", "wavelength").values
    errors = {TOTAL: np.abs(off - total) / total}
    for name in FACTORS:
        errors[name] = np.abs(found[name].values / true[name].values - 1.0)
    for name in NOISE:
        exact, given = true[name].values, found[name].values
        if exact.ndim == 1:
            exact, given = exact[:, None], given[:, None]
        counts = np.broadcast_to(exact > SEEN * total, total.shape)
        relative = np.abs(given - exact) / np.where(exact == 0.0, np.inf, exact)
        errors[name] = np.broadcast_to(relative, total.shape)[counts]
    return errors
