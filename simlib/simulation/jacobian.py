"""How a noiseless spectrum changes with what a star is: derivatives of the simulator's own flux.

By differences, central where both sides lie in the grid. The grid's splines are used along all four
axes, whichever the row was drawn along.
"""

import numpy as np
import xarray as xr

from simlib.config import LARGEST_EBV, LARGEST_REDSHIFT, SimulationConfig
from simlib.instrument import Instrument
from simlib.parameters import ALL_AXES, AXES
from simlib.simulation.simulate import simulate

# Parameters and the half widths of their differences: a tenth of what lies between two nodes, or
# of a line's width, so that neither rounding nor the third derivative tells.
STEPS = {"teff": 25.0, "logg": 0.05, "feh": 0.025, "alpha": 0.025, "redshift": 6e-6, "ebv": 0.01}


def flux_jacobian(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig,
) -> np.ndarray:
    """Return the derivatives of each row's normalised flux by the parameters of STEPS.

    parameters: as `simulate` takes them. Returns (rows, parameters, pixels) float32. Raises
    InputError for what cannot be simulated.
    """
    limits = {name: (grid[name].values[0], grid[name].values[-1]) for name in AXES}
    limits |= {"redshift": (-LARGEST_REDSHIFT, LARGEST_REDSHIFT), "ebv": (0.0, LARGEST_EBV)}
    whole = parameters.assign(
        interpolated_axis=("spectrum", np.full(parameters.sizes["spectrum"], ALL_AXES, np.int8))
    )
    columns = []
    for name, step in STEPS.items():
        at = parameters[name].values.astype(float)
        below, above = np.clip([at - step, at + step], *limits[name])
        flux_below, flux_above = (
            simulate(whole.assign({name: ("spectrum", x)}), grid, terms, config)["flux"].values
            for x in (below, above)
        )
        columns.append((flux_above - flux_below) / (above - below)[:, np.newaxis])
    return np.stack(columns, axis=1).astype(np.float32)
