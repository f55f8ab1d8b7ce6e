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
_PARTS = {"VARIANCE": "variance", "DENOISED": "flux_denoised", "ERROR": "error"}


def read_fits_spectra(place: Location) -> xr.Dataset:
    """Return dims `spectrum`, `wavelength`. Raises InputError for a file without a spectrum."""
    filesystem, path = place.filesystem()
    try:
        with filesystem.open(path, "rb") as file, fits.open(file, lazy_load_hdus=False) as hdus:
            parts = {hdu.name: hdu for hdu in hdus if isinstance(hdu, fits.ImageHDU) and hdu.size}
            if "FLUX" not in parts:
                raise InputError(
                    f"{place} holds no part FLUX with a spectrum; it holds "
                    f"{', '.join(hdu.name for hdu in hdus)}"
                )
            return _dataset(parts, place).assign(_facts(hdus, parts["FLUX"]))
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError) or not isinstance(error, OSError) or not error.errno:
            told = error if isinstance(error, InputError) else f"{place} is no usable FITS: {error}"
            raise InputError(str(told)) from None
        raise


def _dataset(parts: dict[str, fits.ImageHDU], place: Location) -> xr.Dataset:
    flux = np.atleast_2d(np.asarray(parts["FLUX"].data, dtype=np.float64))
    wavelength = _wavelength(parts, flux.shape[-1], place)
    found = {"flux": flux}
    found |= {
        ours: np.atleast_2d(np.asarray(parts[theirs].data, dtype=np.float64))
        for theirs, ours in _PARTS.items()
        if theirs in parts
    }
    if "COVAR" in parts and "variance" not in found:
        found["variance"] = np.atleast_2d(
            np.asarray(parts["COVAR"].data[..., 0, :], dtype=np.float64)
        )
    if "SIMULATED" in parts:  # the noiseless flux beside an observation
        found |= {"flux_noisy": flux, "flux": np.atleast_2d(parts["SIMULATED"].data)}
    unit = str(parts["FLUX"].header.get("BUNIT", "1"))
    dims = ("spectrum", "wavelength")
    columns = {name: (dims, values) for name, values in found.items() if values.shape == flux.shape}
    made = xr.Dataset(columns, coords={"wavelength": wavelength})
    made["flux"].attrs["units"] = unit
    return made


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
    if "WAVELENGTH" in parts:
        part = parts["WAVELENGTH"]
        values = np.asarray(part.data, dtype=np.float64)
        values, unit = values.reshape(-1, values.shape[-1])[0], part.header.get("BUNIT", "nm")
    else:
        header = parts["FLUX"].header
        if "CDELT1" not in header:
            raise InputError(f"{place} does not say its wavelengths: no WAVELENGTH, no CDELT1")
        first, step = float(header["CRVAL1"]), float(header["CDELT1"])
        values = first + step * (np.arange(pixels) + 1.0 - float(header.get("CRPIX1", 1.0)))
        unit = header.get("CUNIT1", "nm")
    return np.asarray(values * units.Unit(str(unit)).to(units.nm))
