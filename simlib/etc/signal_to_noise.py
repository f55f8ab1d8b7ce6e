"""Signal and noise of a target under the calculator's terms."""

from pathlib import Path

import numpy as np
import xarray as xr

from simlib.bounds import Bound
from simlib.errors import InputError
from simlib.noise import stack_variance
from simlib.tables import read_curve

FLUX = Bound(0.0, 1e12, "1e-17 erg s-1 cm-2 AA-1")
MAGNITUDE = Bound(-30.0, 60.0, "mag")


def read_spectrum(path: str | Path, wavelength_nm: np.ndarray) -> np.ndarray:
    """Return the flux of a CSV file on these wavelengths, linear between its rows.

    Columns `wavelength_nm` (vacuum) and `flux` (1e-17 erg s-1 cm-2 AA-1). Raises InputError where
    the file is malformed, negative, or does not cover the wavelengths.
    """
    table = read_curve(path, "flux", FLUX)
    given = table["wavelength_nm"]
    if given[0] > wavelength_nm[0] or given[-1] < wavelength_nm[-1]:
        raise InputError(
            f"{path} covers {given[0]:g}-{given[-1]:g} nm; "
            f"{wavelength_nm[0]:.2f}-{wavelength_nm[-1]:.2f} nm is needed"
        )
    return np.asarray(np.interp(wavelength_nm, given, table["flux"]))


def signal_to_noise(terms: xr.Dataset, flux: np.ndarray) -> xr.DataArray:
    """Return S/N per pixel of the stack, (condition, wavelength).

    flux: of the target above the atmosphere and after dust, 1e-17 erg s-1 cm-2 AA-1, (wavelength,).
    """
    source = terms["conversion_e"] * xr.DataArray(flux, dims="wavelength")
    snr = terms["exposure_count"] * source / np.sqrt(stack_variance(terms, source))
    return snr.assign_attrs(units="1", long_name="signal to noise per pixel, all exposures")
