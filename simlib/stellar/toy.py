"""A toy grid for unit tests: a few Gaussian lines on a smooth continuum. It is NOT a stellar model.

Every depth and the continuum are polynomials of at most third degree in each parameter, so a
cubic spline reproduces the toy exactly: interpolation can be tested against `toy_flux`.
"""

import numpy as np
import xarray as xr

from simlib.parameters import AXES
from simlib.stellar.schema import assemble, grid_checksum, node_digests
from simlib.units import FWHM_PER_SIGMA

RESOLUTION = 10000.0
NODES = {
    "teff": np.array([3500.0, 4000.0, 4500.0, 5000.0]),
    "logg": np.array([0.0, 1.5, 3.5, 5.0]),
    "feh": np.array([-2.5, -1.5, -0.5, 0.75]),
    "alpha": np.array([-0.25, 0.0, 0.25, 0.5]),
}
# vacuum wavelength (nm), depth at the centre of the axes, its slope along each axis
LINES = (
    (770.1083, 0.20, (-0.05, 0.03, 0.04, 0.00)),  # K I
    (818.5505, 0.18, (-0.04, 0.04, 0.03, 0.00)),  # Na I
    (850.0358, 0.35, (-0.04, -0.06, 0.10, 0.04)),  # Ca II
    (854.4438, 0.50, (-0.05, -0.08, 0.12, 0.06)),  # Ca II, the deepest
    (866.4520, 0.45, (-0.05, -0.07, 0.11, 0.05)),  # Ca II
    (880.9176, 0.20, (-0.04, 0.02, 0.05, 0.03)),  # Mg I
)
_CENTRE = {name: (values[0] + values[-1]) / 2 for name, values in NODES.items()}
_HALF = {name: (values[-1] - values[0]) / 2 for name, values in NODES.items()}


def open_toy() -> xr.Dataset:
    """Return the toy with four nodes an axis, in memory."""
    wavelength_model = np.exp(np.arange(np.log(671.7), np.log(909.7), 0.4 / RESOLUTION))
    wavelength_continuum = np.linspace(670.0, 912.0, 12)
    mesh = np.meshgrid(*NODES.values(), indexing="ij")
    at = {name: values[..., None] for name, values in zip(AXES, mesh, strict=True)}
    flux = toy_flux(wavelength_model, **at).astype(np.float32)
    continuum = toy_continuum(wavelength_continuum, **at).astype(np.float32)
    present = np.ones(mesh[0].shape, dtype=bool)
    digests = node_digests(flux, continuum, present)
    coords = {
        **NODES,
        "wavelength_model": wavelength_model,
        "wavelength_continuum": wavelength_continuum,
    }
    attrs = {
        "name": "toy",
        "medium": "vacuum",
        "resolution": RESOLUTION,
        "source": "analytic toy for tests, not a stellar model",
        "version": "1",
        "license": "Apache-2.0",
        "checksum": grid_checksum(coords, present, digests),
    }
    return assemble(
        NODES,
        wavelength_model=wavelength_model,
        wavelength_continuum=wavelength_continuum,
        flux_normalized=flux,
        continuum=continuum,
        present=present,
        node_checksum=digests,
        attrs=attrs,
    )


def toy_flux(
    wavelength_nm: np.ndarray,
    teff: np.ndarray | float,
    logg: np.ndarray | float,
    feh: np.ndarray | float,
    alpha: np.ndarray | float,
) -> np.ndarray:
    """Return the normalised flux; parameters broadcast against wavelength (nm, vacuum)."""
    scaled = _scaled(teff, logg, feh, alpha)
    absorbed = np.zeros(np.broadcast_shapes(wavelength_nm.shape, *(np.shape(s) for s in scaled)))
    for centre, depth, slopes in LINES:
        strength = depth + sum(k * (s + 0.2 * s**3) for k, s in zip(slopes, scaled, strict=True))
        strength = strength + 0.03 * scaled[0] * scaled[2]
        sigma = 1.5 * centre / RESOLUTION / FWHM_PER_SIGMA  # wider than the resolution
        profile = np.exp(-0.5 * ((wavelength_nm - centre) / sigma) ** 2)
        absorbed = absorbed + strength * profile
    return 1.0 - absorbed


def toy_continuum(
    wavelength_nm: np.ndarray,
    teff: np.ndarray | float,
    logg: np.ndarray | float,
    feh: np.ndarray | float,
    alpha: np.ndarray | float,
) -> np.ndarray:
    """Return the surface continuum, erg s-1 cm-2 AA-1; parameters broadcast against wavelength."""
    hot, gravity, metal, enhanced = _scaled(teff, logg, feh, alpha)
    level = 5e5 * (1 + 0.6 * hot + 0.1 * hot**2) * (1 + 0.02 * gravity - 0.02 * metal * enhanced)
    x = (wavelength_nm - 790.0) / 120.0
    return np.asarray(level * (1.0 - 0.15 * x - 0.1 * x * hot + 0.01 * x**3))


def _scaled(*parameters: np.ndarray | float) -> list[np.ndarray]:
    return [
        (np.asarray(value, dtype=np.float64) - _CENTRE[name]) / _HALF[name]
        for name, value in zip(AXES, parameters, strict=True)
    ]
