"""Line spreads to try, and stars observed through them by either path."""

from functools import cache

import numpy as np
import xarray as xr

from simlib.config import Normalize, load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.simulation import reference
from simlib.simulation.compiled import batch
from simlib.simulation.compiled.templates import Templates, make_templates
from simlib.simulation.line_spread import LineSpread, line_spread_of
from simlib.units import FWHM_PER_SIGMA
from tests.simlib.simulation.grids import RESOLUTION

EDGES = np.linspace(710.0, 885.0, 4097)
PIXELS = 0.5 * (EDGES[1:] + EDGES[:-1])
STELLAR = load_config("demo").stellar
PATHS = ("reference", "compiled")
KINDS = ("narrow", "broad", "profile")


@cache
def spread_of(kind: str) -> LineSpread:
    """Return Gaussian lines, "narrow" or "broad", or the shipped instrument's whole "profile"."""
    if kind == "narrow":
        sigma = 0.0561 + 0.0009 * ((PIXELS - 710.0) / 175.0) ** 2
        return LineSpread(PIXELS, sigma, RESOLUTION)
    if kind == "broad":
        return LineSpread(PIXELS, np.full(4096, 0.16 / FWHM_PER_SIGMA), RESOLUTION)
    terms = build_terms_grid(load_config("demo", ["instrument.lsf=profile"]))
    return line_spread_of(terms, RESOLUTION)


_MADE: dict[tuple[object, ...], Templates] = {}


def templates_of(grid: xr.Dataset, kind: str) -> Templates:
    """Return the templates of a grid, made once for all tests that ask."""
    key = (grid.attrs.get("name"), grid.attrs["checksum"], tuple(grid.sizes.values()), kind)
    if key not in _MADE:
        _MADE[key] = make_templates(grid, spread_of(kind), STELLAR)
    return _MADE[key]


def observe(path: str, stars: xr.Dataset, grid: xr.Dataset, kind: str) -> np.ndarray:
    """Return physical flux (stars, pixels)."""
    if path == "compiled":
        flux, scale = batch.observe(stars, grid, templates_of(grid, kind), Normalize())
        return flux * scale[:, np.newaxis]
    rows = [stars.isel(spectrum=i) for i in range(stars.sizes["spectrum"])]
    spread, band = spread_of(kind), STELLAR.band
    return np.stack([reference.observe(row, grid, spread, band, 3.1) for row in rows])
