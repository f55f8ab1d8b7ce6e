"""Features of a grid's nodes, of points between them, and of known stars; for `sanity`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.coverage import line_weights
from simlib.stellar.interpolate import interpolate_grid
from simlib.stellar.quality.features import LINES, features, line_offset
from simlib.stellar.quality.resolution import degrade

RESOLUTION = 5000.0
Parameters = tuple[float, float, float, float]
OfPlane = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def measure_stars(grid: xr.Dataset, stars: Mapping[str, Parameters]) -> xr.Dataset:
    """Return the features of stars, by name; NaN for one outside this grid or beside a hole."""
    wavelength = grid["wavelength_model"].values
    flux = np.full((len(stars), len(wavelength)), np.nan)
    for i, (teff, logg, feh, alpha) in enumerate(stars.values()):
        with suppress(InputError):
            star = interpolate_grid(grid, teff=teff, logg=logg, feh=feh, alpha=alpha)
            flux[i] = _smooth(grid, star["flux_normalized"].values)
    return _as_dataset(features(flux, wavelength), {"star": np.array(list(stars))})


def measure_nodes(grid: xr.Dataset) -> xr.Dataset:
    """Return the features of all nodes, and those of their own resolution; holes are NaN.

    `offset`: of the minimum of Ca II 8542 (nm); `lowest` and `highest` flux.
    """
    wavelength = grid["wavelength_model"].values

    def of_plane(flux: np.ndarray, present: np.ndarray) -> dict[str, np.ndarray]:
        return {
            **features(_smooth(grid, flux), wavelength),
            "offset": line_offset(flux, wavelength, "Ca II 8542", 0.3),
            "lowest": flux.min(axis=-1),
            "highest": flux.max(axis=-1),
        }

    return _by_temperature(grid, {}, of_plane)


def measure_between(grid: xr.Dataset, axis: str, values: Sequence[float]) -> xr.Dataset:
    """Return the features on the lines of the grid at values of one axis, logg, feh or alpha.

    NaN where there is no value: outside the grid, or beside a hole.
    """
    wavelength, nodes = grid["wavelength_model"].values, grid[axis].values

    def of_plane(flux: np.ndarray, present: np.ndarray) -> dict[str, np.ndarray]:
        at = AXES.index(axis) - 1
        return features(_along(_smooth(grid, flux), present, at, nodes, values), wavelength)

    return _by_temperature(grid, {axis: np.array(values)}, of_plane)


def _by_temperature(
    grid: xr.Dataset, places: Mapping[str, np.ndarray], of_plane: OfPlane
) -> xr.Dataset:
    """Return what a function finds in each plane of one temperature, put together."""
    coords = {name: places.get(name, grid[name].values) for name in AXES}
    parts = []
    for i, teff in enumerate(coords["teff"]):
        present = grid["present"].values[i]
        flux = np.where(present[..., None], grid["flux_normalized"][i].values, np.nan)
        found = of_plane(flux, present)
        plane = {name: coords[name] for name in AXES[1:]}
        parts.append(_as_dataset(found, plane).expand_dims(teff=[teff]))
    return xr.concat(parts, "teff")


def _as_dataset(found: dict[str, np.ndarray], places: dict[str, np.ndarray]) -> xr.Dataset:
    """Return features with names for their dimensions: those of the spectra, in order."""
    dims = tuple(places)
    variables = {
        name: (("line", *dims) if name == "depth" else dims, values)
        for name, values in found.items()
    }
    return xr.Dataset(variables, coords={**places, "line": list(LINES)})


def _smooth(grid: xr.Dataset, flux: np.ndarray) -> np.ndarray:
    native = float(grid.attrs["resolution"])
    wavelength = grid["wavelength_model"].values
    return degrade(flux, wavelength, native, RESOLUTION) if native > RESOLUTION else flux


def _along(
    flux: np.ndarray, present: np.ndarray, axis: int, nodes: np.ndarray, values: Sequence[float]
) -> np.ndarray:
    """Return the spectra of a plane interpolated along one axis; NaN where there is no value."""
    lines, there = np.moveaxis(flux, axis, -2), np.moveaxis(present, axis, -1)
    result = np.full((*lines.shape[:-2], len(values), flux.shape[-1]), np.nan)
    for at in np.ndindex(*there.shape[:-1]):
        for i, value in enumerate(values):
            with suppress(InputError):  # a value outside this grid
                weights = line_weights(nodes, there[at], value)
                if weights is not None:
                    used = np.flatnonzero(weights)
                    result[*at, i] = weights[used] @ lines[at][used]
    return np.moveaxis(result, -2, axis)
