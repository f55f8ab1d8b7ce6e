"""Stellar grids: open, interpolate, import, download, verify, compare."""

from simlib.stellar.grid import continuum_on, grid_fingerprint, open_grid
from simlib.stellar.interpolate import interpolate_axis, interpolate_grid, spline_weights

__all__ = [
    "continuum_on",
    "grid_fingerprint",
    "interpolate_axis",
    "interpolate_grid",
    "open_grid",
    "spline_weights",
]
