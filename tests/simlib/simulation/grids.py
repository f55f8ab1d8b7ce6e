"""Small stellar grids with spectra that can be written down."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from simlib.fingerprint import checksum
from simlib.parameters import AXES
from simlib.stellar import open_grid

RESOLUTION = 20_000.0
NODES = {"teff": [4000.0, 4500.0], "logg": [1.0, 2.0], "feh": [-1.0, 0.0], "alpha": [0.0, 0.25]}
WAVELENGTH = np.exp(np.arange(np.log(671.0), np.log(910.0), 1 / 50_000))


def same_everywhere(flux: Callable[[np.ndarray], np.ndarray]) -> xr.Dataset:
    """Return a grid whose nodes all have the spectrum flux(wavelength in nm), continuum 1."""
    shape = tuple(len(nodes) for nodes in NODES.values())
    spectrum = np.broadcast_to(flux(WAVELENGTH), (*shape, len(WAVELENGTH)))
    knots = np.linspace(670.0, 911.0, 9)
    return xr.Dataset(
        {
            "flux_normalized": ((*AXES, "wavelength_model"), spectrum),
            "continuum": ((*AXES, "wavelength_continuum"), np.ones((*shape, len(knots)))),
            "present": (AXES, np.ones(shape, dtype=bool)),
        },
        coords={**NODES, "wavelength_model": WAVELENGTH, "wavelength_continuum": knots},
        attrs={"resolution": RESOLUTION, "medium": "vacuum", "checksum": checksum(spectrum)},
    )


def four_of_each_axis() -> xr.Dataset:
    """Return the first four nodes of each axis of the embedded grid."""
    grid = open_grid("default")
    return grid.isel({name: slice(0, 4) for name in AXES}).assign_attrs(name="part")


def one_star(**values: float) -> xr.Dataset:
    """Return a parameter table of one row on a node, along Teff, changed by the values given."""
    row = {name: nodes[0] for name, nodes in NODES.items()}
    row |= {"interpolated_axis": 0, "redshift": 0.0, "ebv": 0.0, "magnitude": 20.0} | values
    return xr.Dataset({name: ("spectrum", np.array([value])) for name, value in row.items()})
