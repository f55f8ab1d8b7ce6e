"""Stellar grids, arms and stars of any odd size, small enough to try many of them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.config import Normalize, load_config
from simlib.fingerprint import checksum
from simlib.parameters import AXES
from simlib.simulation import reference
from simlib.simulation.compiled import batch
from simlib.simulation.compiled.templates import make_templates
from simlib.simulation.line_spread import LineSpread

PIXEL_NM, SIGMA_PIXELS, RESOLUTION = 0.4, 1.35, 20_000.0
WAVELENGTH = np.exp(np.arange(np.log(671.0), np.log(910.0), 1 / 12_000))
STEPS = {"teff": 250.0, "logg": 0.5, "feh": 0.25, "alpha": 0.25}
LOWEST = {"teff": 4000.0, "logg": 1.0, "feh": -1.0, "alpha": 0.0}
STELLAR = load_config("demo", ["stellar.redshift=[-0.001, 0.001]"]).stellar


@dataclass(frozen=True)
class Shape:
    """How many nodes each axis has, pixels the arm, and stars are simulated."""

    nodes: tuple[int, int, int, int]
    pixels: int
    stars: int


def grid_of(nodes: tuple[int, ...], rng: np.random.Generator) -> xr.Dataset:
    """Return a grid of these axes whose spectra have lines of random depth, no two alike."""
    places = rng.uniform(WAVELENGTH[0], WAVELENGTH[-1], 40)
    lines = np.exp(-0.5 * ((WAVELENGTH - places[:, np.newaxis]) / 0.6) ** 2)
    flux = 1.0 - rng.uniform(0.0, 0.4, (*nodes, len(places))) @ lines.clip(1e-9) / 2.0
    knots = np.linspace(670.0, 911.0, 9)
    continuum = rng.uniform(1.0, 2.0, (*nodes, 1)) * (1.0 + 0.1 * np.sin(knots / 40.0))
    axes = {n: LOWEST[n] + STEPS[n] * np.arange(k) for n, k in zip(AXES, nodes, strict=True)}
    return xr.Dataset(
        {
            "flux_normalized": ((*AXES, "wavelength_model"), flux.astype(np.float32)),
            "continuum": ((*AXES, "wavelength_continuum"), continuum.astype(np.float32)),
            "present": (AXES, np.ones(nodes, dtype=bool)),
        },
        coords={**axes, "wavelength_model": WAVELENGTH, "wavelength_continuum": knots},
        attrs={"resolution": RESOLUTION, "medium": "vacuum", "checksum": checksum(flux)},
    )


def stars_in(grid: xr.Dataset, count: int, rng: np.random.Generator) -> xr.Dataset:
    """Return stars anywhere in the grid: along all axes, or along one with the others on nodes."""
    columns: dict[str, np.ndarray] = {}
    axis = rng.integers(-1, len(AXES), count).astype(np.int8)
    axis[: (count + 1) // 2] = -1
    for number, name in enumerate(AXES):
        nodes = grid[name].values
        anywhere = nodes[0] + (nodes[-1] - nodes[0]) * rng.random(count)
        on_node = rng.choice(nodes, count)
        columns[name] = np.where((axis == -1) | (axis == number), anywhere, on_node)
    columns |= {
        "interpolated_axis": axis,
        "redshift": rng.uniform(*STELLAR.redshift, count),
        "ebv": rng.uniform(*STELLAR.ebv, count),
        "magnitude": rng.uniform(19.0, 22.0, count),
    }
    return xr.Dataset({name: ("spectrum", column) for name, column in columns.items()})


def arm_of(pixels: int) -> LineSpread:
    """Return an arm of so many pixels within the band."""
    wavelength = 760.0 + PIXEL_NM * np.arange(pixels)
    return LineSpread(wavelength, np.full(pixels, SIGMA_PIXELS * PIXEL_NM), RESOLUTION)


def largest_difference(shape: Shape, seed: int) -> float:
    """Return the largest relative difference of physical flux, compiled path from reference."""
    rng = np.random.default_rng(seed)
    grid, spread = grid_of(shape.nodes, rng), arm_of(shape.pixels)
    stars = stars_in(grid, shape.stars, rng)
    templates = make_templates(grid, spread, STELLAR)
    flux, scale = batch.observe(stars, grid, templates, Normalize())
    rows = [stars.isel(spectrum=i) for i in range(shape.stars)]
    plain = [reference.observe(row, grid, spread, STELLAR.band, STELLAR.r_v) for row in rows]
    off = flux * scale[:, np.newaxis] / np.reshape(plain, flux.shape) - 1.0
    return float(np.abs(off).max(initial=0.0))
