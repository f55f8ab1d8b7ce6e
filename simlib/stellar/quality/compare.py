"""What tells two grids apart: axes, holes, attributes, and the rms of every common node."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.schema import REQUIRED_ATTRS, grid_fingerprint


@dataclass(frozen=True)
class NodeDifference:
    """One node that both grids have."""

    node: dict[str, float]
    rms: float  # of normalised flux
    largest: float


@dataclass(frozen=True)
class GridDifference:
    """How grid B differs from grid A."""

    is_same: bool  # by fingerprint
    axes: dict[str, dict[str, list[float]]]  # node values only in one of them
    only_in_a: list[dict[str, float]]  # nodes present in A that B lacks, on common axis values
    only_in_b: list[dict[str, float]]
    attrs: dict[str, list[Any]]
    wavelengths: str
    nodes: list[NodeDifference]  # common ones, the most different first


def compare_grids(a: xr.Dataset, b: xr.Dataset) -> GridDifference:
    """Compare two grids node by node, on A's wavelengths where B has them too."""
    common = {name: np.intersect1d(a[name].values, b[name].values) for name in AXES}
    wavelength = a["wavelength_model"].values
    other = b["wavelength_model"].values
    is_same_wavelength = np.array_equal(wavelength, other)
    inside = (wavelength >= other[0]) & (wavelength <= other[-1])
    if not inside.any():
        raise InputError(
            f"the grids share no wavelengths: {wavelength[0]:.1f}-{wavelength[-1]:.1f} nm against "
            f"{other[0]:.1f}-{other[-1]:.1f} nm"
        )
    shared_a, shared_b = (grid.sel(common) for grid in (a, b))
    present = [part["present"].values for part in (shared_a, shared_b)]
    nodes = []
    for position in np.argwhere(present[0] & present[1]):
        at = dict(zip(AXES, position, strict=True))
        flux, second = (g["flux_normalized"].isel(at).values for g in (shared_a, shared_b))
        if not is_same_wavelength:
            second = CubicSpline(other, second)(wavelength[inside])
        error = second - flux[inside]
        rms, largest = float(np.sqrt(np.mean(error**2))), float(np.abs(error).max())
        nodes.append(NodeDifference(_parameters(common, position), rms, largest))
    return GridDifference(
        is_same=grid_fingerprint(a) == grid_fingerprint(b),
        axes=_axes_apart(a, b),
        only_in_a=[_parameters(common, p) for p in np.argwhere(present[0] & ~present[1])],
        only_in_b=[_parameters(common, p) for p in np.argwhere(present[1] & ~present[0])],
        attrs={
            key: [a.attrs.get(key), b.attrs.get(key)]
            for key in REQUIRED_ATTRS
            if a.attrs.get(key) != b.attrs.get(key)
        },
        wavelengths="same" if is_same_wavelength else f"B on {inside.sum()} wavelengths of A",
        nodes=sorted(nodes, key=lambda node: -node.rms),
    )


def _axes_apart(a: xr.Dataset, b: xr.Dataset) -> dict[str, dict[str, list[float]]]:
    apart = {}
    for name in AXES:
        only_a = np.setdiff1d(a[name].values, b[name].values).tolist()
        only_b = np.setdiff1d(b[name].values, a[name].values).tolist()
        if only_a or only_b:
            apart[name] = {"only_in_a": only_a, "only_in_b": only_b}
    return apart


def _parameters(axes: dict[str, np.ndarray], position: np.ndarray) -> dict[str, float]:
    return {name: float(axes[name][i]) for name, i in zip(AXES, position, strict=True)}
