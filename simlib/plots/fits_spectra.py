"""Spectra in a FITS file as a Dataset, to be drawn: `pfsObject`, and what denoising puts behind it.

Parts are known by their names; wavelengths are a part of their own or stand in the header.
"""

import numpy as np
import xarray as xr
from astropy import units
from astropy.io import fits

from simlib.errors import InputError
from simlib.location import Location
from simlib.plots.spectra import FACTS

# name in a file -> name here, where it has the shape of the flux
_TABLE = "DENOISER"  # of what was found, a row a spectrum
_PARTS = {
    "FLUX": "flux_noisy", "SIMULATED": "flux", "VARIANCE": "variance", "DENOISED": "flux_denoised",
    "ERROR": "error",
}  # fmt: skip


def read_fits_spectra(place: Location) -> xr.Dataset:
    """Return dims `spectrum`, `wavelength`. Raises InputError for a file without a spectrum."""
    filesystem, path = place.filesystem()
    with filesystem.open(path, "rb") as file, fits.open(file, lazy_load_hdus=False) as hdus:
        parts = {hdu.name: hdu for hdu in hdus if isinstance(hdu, fits.ImageHDU) and hdu.size}
        if "FLUX" not in parts:
            raise InputError(
                f"{place} holds no part FLUX with a spectrum; it holds "
                f"{', '.join(hdu.name for hdu in hdus)}"
            )
        return _dataset(parts, place).assign(_facts(hdus, parts["FLUX"]))


def _dataset(parts: dict[str, fits.ImageHDU], place: Location) -> xr.Dataset:
    found = {
        ours: np.atleast_2d(np.asarray(parts[theirs].data, dtype=np.float64))
        for theirs, ours in _PARTS.items()
        if theirs in parts
    }
    flux = found["flux_noisy"]
    if "COVAR" in parts and "variance" not in found:
        covariance = np.asarray(parts["COVAR"].data, dtype=np.float64)
        found["variance"] = np.atleast_2d(covariance[..., 0, :])
    dims = ("spectrum", "wavelength")
    unit = {"units": str(parts["FLUX"].header.get("BUNIT", "1"))}
    columns = {name: (dims, v, unit) for name, v in found.items() if v.shape == flux.shape}
    return xr.Dataset(columns, coords={"wavelength": _wavelength(parts, flux.shape[-1], place)})


def _facts(hdus: fits.HDUList, flux: fits.ImageHDU) -> dict[str, tuple[str, np.ndarray]]:
    """Return what the file says of each spectrum: a star's truth, or what denoising found."""
    count = flux.shape[0] if len(flux.shape) > 1 else 1
    found: dict[str, tuple[str, np.ndarray]] = {}
    for name in FACTS:
        if "SIMULATED" in hdus and name in hdus["SIMULATED"].header:
            found[name] = ("spectrum", np.full(count, float(hdus["SIMULATED"].header[name])))
        elif (
            _TABLE in hdus
            and name in hdus[_TABLE].columns.names
            and len(hdus[_TABLE].data) == count
        ):
            found[name] = ("spectrum", np.asarray(hdus[_TABLE].data[name], dtype=np.float64))
    return found


def _wavelength(parts: dict[str, fits.ImageHDU], pixels: int, place: Location) -> np.ndarray:
    """Return nm. Raises InputError where none are said, or spectra have each their own."""
    header = parts["FLUX"].header
    if "WAVELENGTH" in parts:
        rows = np.atleast_2d(np.asarray(parts["WAVELENGTH"].data, dtype=np.float64))
        if not np.array_equal(rows, np.broadcast_to(rows[0], rows.shape)):
            raise InputError(f"{place} holds spectra of different wavelengths, which share no axes")
        values, unit = rows[0], parts["WAVELENGTH"].header.get("BUNIT", "nm")
    elif "CDELT1" in header:
        number = np.arange(pixels) + 1.0 - float(header.get("CRPIX1", 1.0))
        values = np.asarray(float(header["CRVAL1"]) + float(header["CDELT1"]) * number)
        unit = header.get("CUNIT1", "nm")
    else:
        raise InputError(f"{place} does not say its wavelengths: no WAVELENGTH, no CDELT1")
    return np.asarray(values * units.Unit(str(unit)).to(units.nm))
