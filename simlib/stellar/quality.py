"""How well a grid interpolates: each inner node left out and predicted from the others."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.stellar.resolution import degrade
from simlib.stellar.shape import AXES
from simlib.stellar.spline import spline_weights

WARM = 4000.0  # K; below it TiO makes every axis harder, so the two are told apart


@dataclass(frozen=True)
class LeaveOneOut:
    """Error of the cubic prediction of left-out inner nodes, in units of the continuum."""

    axis: str
    nodes: int  # predicted, Teff >= WARM
    rms: float
    largest: float
    nodes_cool: int
    rms_cool: float
    largest_cool: float


def leave_one_out(grid: xr.Dataset, resolution: float = 5000.0) -> list[LeaveOneOut]:
    """Return the error along each axis at this resolution, pooled over nodes and wavelengths.

    The leaving-out runs on lines without holes; with n nodes on an axis, n - 1 make the spline.
    """
    smooth, present = _smoothed(grid, resolution), grid["present"].values
    teff = np.broadcast_to(grid["teff"].values[:, None, None, None], present.shape)
    return [_along(grid, axis, smooth, present, teff) for axis in AXES]


def _smoothed(grid: xr.Dataset, resolution: float) -> np.ndarray:
    """Return all spectra at the resolution, thinned to about two points a resolution element."""
    wavelength = grid["wavelength_model"].values
    step = float(np.diff(np.log(wavelength)).mean())
    thin = max(1, int(0.5 / resolution / step))
    planes = [
        degrade(plane.values, wavelength, float(grid.attrs["resolution"]), resolution)[..., ::thin]
        for plane in grid["flux_normalized"]
    ]
    return np.stack(planes)


def _along(
    grid: xr.Dataset, axis: str, smooth: np.ndarray, present: np.ndarray, teff: np.ndarray
) -> LeaveOneOut:
    at = AXES.index(axis)
    nodes = grid[axis].values
    lines = np.moveaxis(smooth, at, 0).reshape(len(nodes), -1, smooth.shape[-1])
    whole = np.moveaxis(present, at, 0).reshape(len(nodes), -1).all(axis=0)
    temperatures = np.moveaxis(teff, at, 0).reshape(len(nodes), -1)[:, whole]
    lines = lines[:, whole]
    squares: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for out in range(1, len(nodes) - 1):
        kept = np.delete(np.arange(len(nodes)), out)
        weights = spline_weights(nodes[kept], nodes[out], axis)
        error = np.tensordot(weights, lines[kept], axes=1) - lines[out]
        for warm in (True, False):
            squares[warm].append(error[(temperatures[out] >= WARM) == warm] ** 2)
    rms, largest, count = {}, {}, {}
    for warm, parts in squares.items():
        pooled = np.concatenate(parts) if parts else np.empty((0, 1))
        count[warm] = len(pooled)
        rms[warm] = float(np.sqrt(pooled.mean())) if len(pooled) else float("nan")
        largest[warm] = float(np.sqrt(pooled.max())) if len(pooled) else float("nan")
    return LeaveOneOut(
        axis=axis,
        nodes=count[True],
        rms=rms[True],
        largest=largest[True],
        nodes_cool=count[False],
        rms_cool=rms[False],
        largest_cool=largest[False],
    )
