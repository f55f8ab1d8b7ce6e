"""How well a grid interpolates: each inner node left out and predicted from the others."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.parameters import AXES
from simlib.stellar.quality.resolution import degrade
from simlib.stellar.spline import spline_weights

ARM = (710.0, 885.0)  # nm: the window of the spectrograph's arm
WARM = 4000.0  # K; below it TiO makes every axis harder, so the two are told apart


@dataclass(frozen=True)
class PooledError:
    """Error pooled over predicted nodes and wavelengths, in units of the continuum."""

    nodes: int
    rms: float | None  # where any node was predicted
    largest: float | None


@dataclass(frozen=True)
class LeaveOneOut:
    """Error of the cubic prediction of left-out inner nodes along one axis."""

    axis: str
    warm: PooledError  # Teff >= WARM
    cool: PooledError


def leave_one_out(
    grid: xr.Dataset,
    resolution: float = 5000.0,
    window_nm: tuple[float, float] = ARM,
    *,
    is_linear: bool = False,
) -> list[LeaveOneOut]:
    """Return the error along each axis at this resolution and in this window.

    A line with a hole is left out altogether; with n nodes on an axis, n - 1 make the spline.
    is_linear: predict from the two neighbours alone instead.
    """
    smooth, present = _smoothed(grid, resolution, window_nm), grid["present"].values
    is_warm = np.broadcast_to((grid["teff"].values >= WARM)[:, None, None, None], present.shape)
    return [
        _along(axis, grid[axis].values, smooth, present, is_warm, is_linear)
        for axis in AXES
        if len(grid[axis]) > 2
    ]


def _smoothed(grid: xr.Dataset, resolution: float, window_nm: tuple[float, float]) -> np.ndarray:
    """Return all spectra at the resolution, thinned to about two points a resolution element."""
    wavelength = grid["wavelength_model"].values
    step = float(np.diff(np.log(wavelength)).mean())
    thin = max(1, int(0.5 / resolution / step))
    kept = np.flatnonzero((wavelength >= window_nm[0]) & (wavelength <= window_nm[1]))[::thin]
    native = float(grid.attrs["resolution"])
    planes = (plane.values for plane in grid["flux_normalized"])
    return np.stack(
        [
            (degrade(plane, wavelength, native, resolution) if native > resolution else plane)[
                ..., kept
            ]
            for plane in planes
        ]
    )


def _along(
    axis: str,
    nodes: np.ndarray,
    smooth: np.ndarray,
    present: np.ndarray,
    is_warm: np.ndarray,
    is_linear: bool,
) -> LeaveOneOut:
    at, lines = AXES.index(axis), present.size // len(nodes)
    whole = np.moveaxis(present, at, 0).reshape(len(nodes), lines).all(axis=0)
    flux = np.moveaxis(smooth, at, 0).reshape(len(nodes), lines, -1)[:, whole]
    warm = np.moveaxis(is_warm, at, 0).reshape(len(nodes), lines)[:, whole]
    squares = []
    for out in range(1, len(nodes) - 1):
        kept = [out - 1, out + 1] if is_linear else np.delete(np.arange(len(nodes)), out)
        weights = spline_weights(nodes[kept], nodes[out], axis)
        squares.append((np.tensordot(weights, flux[kept], axes=1) - flux[out]) ** 2)
    pooled, is_warm_node = np.concatenate(squares), np.concatenate(warm[1:-1])
    return LeaveOneOut(axis, _pool(pooled[is_warm_node]), _pool(pooled[~is_warm_node]))


def _pool(squares: np.ndarray) -> PooledError:
    if not squares.size:
        return PooledError(nodes=0, rms=None, largest=None)
    rms, largest = np.sqrt(squares.mean()), np.sqrt(squares.max())
    return PooledError(nodes=len(squares), rms=float(rms), largest=float(largest))
