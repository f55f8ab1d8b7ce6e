"""Stars of the toy grid, seen with noise through an uncertain calibration."""

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.fit.generator import Generator, generator_of
from simlib.fit.problem import Calibration, Problem, problem_of
from simlib.stellar import open_grid

# Teff, log g, [M/H], [alpha/M], redshift, E(B-V); the first within the grid, the second at its ends
STARS = np.array([[4100.0, 2.0, -0.8, 0.1, 0.0012, 0.05], [5000.0, 0.0, 0.75, -0.25, -0.0021, 0.0]])


@cache
def config(*overrides: str) -> SimulationConfig:
    return load_config("tiny", ["stellar.grid=toy", *overrides])


@cache
def terms(*overrides: str) -> xr.Dataset:
    return build_terms_grid(config(*overrides))


@cache
def generator(*overrides: str) -> Generator:
    return generator_of(open_grid("toy"), terms(), config(*overrides))


def calibration(pixels: int) -> Calibration:
    """Return three slow waves, a scale and an offset."""
    along = np.linspace(0.0, np.pi, pixels)
    waves = [0.01 * np.cos(n * along) for n in range(4)]
    return Calibration(np.array(waves, dtype=np.float32), 0.01)


@cache
def problem(*overrides: str) -> Problem:
    made = generator(*overrides)
    return problem_of(made, config(*overrides).stellar, calibration(made.pixels))


def drawn(rows: int, seed: int) -> np.ndarray:
    """Return stars drawn evenly from the problem's ranges."""
    known = problem()
    u = np.random.default_rng(seed).uniform(-1.0, 1.0, (rows, len(known.sigma)))
    return known.expected + np.sqrt(3.0) * known.sigma * u


def seen(stars: np.ndarray, snr: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noisy flux, variance and the noiseless flux behind the calibration."""
    known: Any = problem()
    draw = np.random.default_rng(seed)
    flux = known.generator.look(stars, is_sloped=False)[0].astype(float)
    modes = known.calibration.modes
    flux *= 1.0 + draw.standard_normal((len(stars), len(modes))) @ modes
    flux += known.calibration.offset * draw.standard_normal((len(stars), 1))
    is_sky = np.arange(flux.shape[1]) % 40 < 3
    sigma = np.broadcast_to(0.5 / snr * (1.0 + 3.0 * is_sky), flux.shape)
    return flux + sigma * draw.standard_normal(flux.shape), np.square(sigma), flux
