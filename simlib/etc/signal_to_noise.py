"""Signal and noise of a target under the calculator's terms."""

from pathlib import Path

import numpy as np
import xarray as xr
from scipy.signal import fftconvolve

from simlib.bounds import Bound
from simlib.errors import InputError
from simlib.etc.optics import lsf
from simlib.instrument import Instrument
from simlib.noise import stack_variance
from simlib.tables import read_curve

FLUX = Bound(0.0, 1e12, "1e-17 erg s-1 cm-2 AA-1")
MAGNITUDE = Bound(-30.0, 60.0, "mag")
CELLS = 11  # of a pixel, odd: its centre is that of one of them
REACH_PIXELS = 40  # of the line spread function


def read_spectrum(path: str | Path, instrument: Instrument, kind: str = "etc") -> np.ndarray:
    """Return the flux of a CSV file as the pixels of an instrument see it, (pixels,).

    Columns `wavelength_nm` (vacuum) and `flux` (1e-17 erg s-1 cm-2 AA-1); linear between its rows.
    Raises InputError where the file is malformed, negative, or does not cover the pixels' centres.
    """
    table = read_curve(path, "flux", FLUX)
    given, wavelength_nm = table["wavelength_nm"], instrument.wavelength
    if given[0] > wavelength_nm[0] or given[-1] < wavelength_nm[-1]:
        raise InputError(
            f"{path} covers {given[0]:g}-{given[-1]:g} nm; "
            f"{wavelength_nm[0]:.2f}-{wavelength_nm[-1]:.2f} nm is needed"
        )
    return pixel_flux(given, table["flux"], instrument, kind)


def pixel_flux(
    wavelength_nm: np.ndarray, flux: np.ndarray, instrument: Instrument, kind: str = "etc"
) -> np.ndarray:
    """Return the flux that each pixel sees of a spectrum that is linear between its points.

    wavelength_nm: (n,), increasing; the ends are held beyond. The light of every narrow cell is
    summed exactly and spread by the line spread function, so that a line keeps its light however
    narrow it is and wherever in a pixel it lies.
    """
    reach = CELLS * REACH_PIXELS
    count = CELLS * instrument.pixel_count + 2 * reach
    cell = instrument.pixel_nm / CELLS
    edges = instrument.wavelength_min_nm + cell * (np.arange(count + 1) - reach)
    cells = _means(wavelength_nm, flux, edges)
    offsets = np.arange(-reach, reach + 1) / CELLS
    kernels = lsf.profile(lsf.mtf(instrument, lsf.smooth_nodes(), kind), offsets)
    kernels /= kernels.sum(axis=1, keepdims=True)  # what is flat stays so: the far wings are cut
    seen = [fftconvolve(cells, kernel, mode="valid")[CELLS // 2 :: CELLS] for kernel in kernels]
    shares = lsf.smooth_weights(instrument.wavelength)
    return np.asarray(np.einsum("pk,kp->p", shares, np.stack(seen)))


def _means(places: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the exact means between edges of what is linear between the places."""
    points = np.union1d(places, edges)
    heights = np.interp(points, places, values)
    areas = 0.5 * (heights[1:] + heights[:-1]) * np.diff(points)
    total = np.concatenate([[0.0], np.cumsum(areas)])[np.searchsorted(points, edges)]
    return np.asarray(np.diff(total) / np.diff(edges))


def signal_to_noise(terms: xr.Dataset, flux: np.ndarray) -> xr.DataArray:
    """Return S/N per pixel of the stack, (condition, wavelength).

    flux: of the target above the atmosphere and after dust, 1e-17 erg s-1 cm-2 AA-1, (wavelength,).
    """
    source = terms["conversion_e"] * xr.DataArray(flux, dims="wavelength")
    snr = terms["exposure_count"] * source / np.sqrt(stack_variance(terms, source))
    return snr.assign_attrs(units="1", long_name="signal to noise per pixel, all exposures")
