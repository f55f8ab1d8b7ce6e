"""DESI and what is laid out like it: wavelength, flux and inverse variance of each camera.

Flux is in 1e-17 erg s-1 cm-2 AA-1, wavelengths are in Angstrom and vacuum. Cameras are joined in
the middle of where they overlap.
"""

from functools import reduce

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.fits_file import column, column_names, image, is_table, mask_image, names
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import PER_ANGSTROM
from simlib.spectra.variance import inverted

CAMERAS = ("B", "R", "Z", "BRZ")
Camera = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # wavelength, then stars × pixels


def _cameras(hdus: fits.HDUList) -> list[str]:
    parts = ("WAVELENGTH", "FLUX", "IVAR")
    return [c for c in CAMERAS if {f"{c}_{part}" for part in parts} <= names(hdus)]


def is_desi(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return bool(_cameras(hdus))


def read_desi(hdus: fits.HDUList, _: Stated) -> list[Observed]:
    """Return all stars of the file."""
    cameras = [_camera(hdus, name) for name in _cameras(hdus)]
    if len({len(camera[1]) for camera in cameras}) > 1:
        raise InputError("its cameras have different numbers of spectra")
    wavelength, flux, ivar, mask = reduce(_joined, sorted(cameras, key=lambda c: c[0][0]))
    return [
        Observed(
            name=name,
            product="DESI",
            wavelength=wavelength,
            flux=flux[row],
            variance=inverted(ivar[row]),
            mask=mask[row],
            unit=PER_ANGSTROM,
            frame="heliocentric",
            notes=("cameras joined in the middle of their overlap",) if len(cameras) > 1 else (),
        )
        for row, name in enumerate(_stars(hdus, len(flux)))
    ]


def _camera(hdus: fits.HDUList, name: str) -> Camera:
    wavelength = 0.1 * image(hdus, f"{name}_WAVELENGTH")
    flux, ivar = (np.atleast_2d(image(hdus, f"{name}_{part}")) for part in ("FLUX", "IVAR"))
    has_mask = f"{name}_MASK" in names(hdus)
    mask = (
        np.atleast_2d(mask_image(hdus, f"{name}_MASK")) if has_mask else np.zeros(flux.shape, int)
    )
    if wavelength.ndim != 1 or not wavelength.size:
        raise InputError(f"its {name}_WAVELENGTH has the shape {wavelength.shape}")
    shape = (len(flux), wavelength.size)
    if not flux.shape == ivar.shape == mask.shape == shape:
        raise InputError(
            f"its {name}_FLUX has the shape {flux.shape}, {name}_IVAR {ivar.shape}, {name}_MASK "
            f"{mask.shape}; {shape} was expected"
        )
    return wavelength, flux, ivar, mask != 0


def _joined(blue: Camera, red: Camera) -> Camera:
    """Join two cameras where half of their overlap lies."""
    middle = 0.5 * (blue[0][-1] + red[0][0])
    of_blue, of_red = blue[0] < middle, red[0] >= middle
    wavelength, flux, ivar, mask = (
        np.concatenate([one[..., of_blue], other[..., of_red]], axis=-1)
        for one, other in zip(blue, red, strict=True)
    )
    return wavelength, flux, ivar, mask


def _stars(hdus: fits.HDUList, count: int) -> list[str]:
    if "FIBERMAP" in names(hdus) and is_table(hdus["FIBERMAP"]):
        table = hdus["FIBERMAP"]
        if "targetid" in column_names(table) and len(table.data) == count:
            return [str(number) for number in column(table, "targetid")]
    return [f"row-{row}" for row in range(count)]
