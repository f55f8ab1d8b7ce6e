"""Whole spectra on grid nodes, against a convolution and a sampling by brute force.

Written apart from the simulator: another dust curve, a template sampled eight times finer by a
spline, the kernel's integral by error functions, pixel after pixel.
"""

import extinction
import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline
from scipy.special import erf

from simlib import simulate
from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.parameters import AXES, draw_parameters
from simlib.stellar import open_grid

FINER = 8  # samples between those of the grid
STARS = {  # nodes; the largest shifts and reddening
    "teff": [3500.0, 4250.0, 5000.0], "logg": [0.0, 2.0, 5.0], "feh": [0.5, -1.0, -2.5],
    "alpha": [0.0, 0.25, 0.5], "redshift": [0.003, -0.003, 0.0], "ebv": [0.1, 0.05, 0.0],
}  # fmt: skip


def brute_force(star: xr.Dataset, grid: xr.Dataset, terms: xr.Dataset) -> np.ndarray:
    """Return a star's flux in the pixels, in units of its own."""
    node = grid.sel({name: float(star[name]) for name in AXES})
    rest = grid["wavelength_model"].values
    level = CubicSpline(node["wavelength_continuum"].values, node["continuum"].values)(rest)
    places = np.linspace(np.log(rest[0]), np.log(rest[-1]), FINER * (rest.size - 1) + 1)
    flux = CubicSpline(np.log(rest), node["flux_normalized"].values * level)(places)
    wavelength = np.exp(places) * (1.0 + float(star["redshift"]))
    magnitudes = extinction.ccm89(10.0 * wavelength, 3.1 * float(star["ebv"]), 3.1)
    flux *= 10.0 ** (-0.4 * magnitudes)
    pixels, sigma = terms["wavelength"].values, terms["lsf_sigma"].values
    width = (pixels[-1] - pixels[0]) / (pixels.size - 1)
    template_sigma = pixels / (np.sqrt(8.0 * np.log(2.0)) * grid.attrs["resolution"])
    sigma = np.sqrt(sigma**2 - width**2 / 12.0 - template_sigma**2)
    seen = np.empty(pixels.size)
    for i, (centre, spread) in enumerate(zip(pixels, sigma, strict=True)):
        near = slice(*np.searchsorted(wavelength, centre + np.array([-9.0, 9.0]) * spread))
        offset = wavelength[near] - centre
        edges = (offset[:, np.newaxis] + np.array([-0.5, 0.5]) * width) / (np.sqrt(2.0) * spread)
        kernel = np.diff(erf(edges), axis=1)[:, 0] / (2.0 * width)
        seen[i] = np.trapezoid(kernel * flux[near], offset)
    return seen


def test_spectra_on_nodes_equal_brute_force() -> None:
    config, grid = load_config("demo"), open_grid("default")
    terms = build_terms_grid(config)
    stars = draw_parameters(config, grid, "train", 0, len(STARS["teff"]))
    for name, values in STARS.items():
        stars[name] = "spectrum", np.array(values)
    stars["interpolated_axis"] = "spectrum", np.array([0, 1, 2], dtype=np.int8)
    for path in ("compiled", "reference"):
        simulated = simulate(stars, grid, terms, config, path)["flux"].values
        for row, flux in enumerate(simulated):
            expected = brute_force(stars.isel(spectrum=row), grid, terms)
            expected *= 0.5 / np.median(expected)
            assert np.abs(flux / expected - 1.0).max() < 2e-5, (path, row)
