"""All fibres of a visit of the survey: `pfsArm` (one camera) and `pfsMerged` (arms together).

Their flux is in electrons. Divided by the norm of the flat lamp it has the shape of a spectrum;
without one it is refused: a network of flux densities would take the detector for the star.
"""

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.spectra.arrays import numbers, rows
from simlib.spectra.fits_file import cards, column, column_names, image, is_table, mask_image, names
from simlib.spectra.masks import planes_of, rejected
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.pfs_star import FRAME, covariance
from simlib.spectra.units import RELATIVE

_VELOCITY = "barycentriccorrection"  # of NOTES
_MOST_KM_S = 50.0  # the Earth goes at 30


def is_fibers(hdus: fits.HDUList) -> bool:
    """Return whether this is such a file."""
    return {"FIBERID", "FLUX", "COVAR"} <= names(hdus)


def read_fibers(hdus: fits.HDUList, stated: Stated) -> list[Observed]:
    """Return all fibres. Raises InputError for electrons that nothing is known to divide by."""
    fibers = image(hdus, "FIBERID").ravel()
    count = len(fibers)
    flux = rows(image(hdus, "FLUX"), count, "FLUX")
    norm = _norm(hdus, count)
    wavelength = rows(image(hdus, "WAVELENGTH"), count, "WAVELENGTH")
    variance, beside = covariance(image(hdus, "COVAR"))
    mask = mask_image(hdus, "MASK")
    is_bad = rejected(mask, planes_of(cards(hdus[0])), stated.reject)
    is_merged = _is_merged(hdus)
    velocity = _velocities(hdus, count, is_merged)
    if not flux.shape == norm.shape == variance.shape == is_bad.shape == wavelength.shape:
        raise InputError(
            f"its FLUX has the shape {flux.shape}, NORM {norm.shape}, COVAR {variance.shape}, MASK "
            f"{is_bad.shape}, WAVELENGTH {wavelength.shape}; one shape was expected"
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        flux, variance = flux / norm, variance / norm**2
        beside = np.nan_to_num(beside / norm[:, np.newaxis] ** 2, posinf=0.0, neginf=0.0)
    return [
        Observed(
            name=f"fiber-{fiber:.0f}",
            product="pfsMerged" if is_merged else "pfsArm",
            wavelength=wavelength[row],
            flux=flux[row],
            variance=variance[row],
            mask=is_bad[row],
            unit=RELATIVE,
            beside=beside[row],
            frame=FRAME if is_merged else "topocentric",
            to_barycentre_km_s=float(velocity[row]),
            telluric="uncorrected",
            notes=("no flux calibration: divided by the norm of the flat lamp",),
        )
        for row, fiber in enumerate(fibers)
    ]


def _norm(hdus: fits.HDUList, count: int) -> np.ndarray:
    """Return the norm; InputError where there is none but 1."""
    norm = rows(image(hdus, "NORM"), count, "NORM") if "NORM" in names(hdus) else np.ones((1, 1))
    if np.all((norm == 1.0) | ~np.isfinite(norm)):
        raise InputError(
            "it holds raw electrons, with no norm of a flat lamp to divide by: their shape is that "
            "of the detector, not of a star; give the pfsCalibrated or pfsCoadd of the visit"
        )
    return norm


def _velocities(hdus: fits.HDUList, count: int, is_merged: bool) -> np.ndarray:
    """Return what brings each fibre to the barycentre, km/s: still to be applied in an arm."""
    if is_merged:
        return np.zeros(count)
    if "NOTES" in names(hdus) and is_table(hdus["NOTES"]):
        table = hdus["NOTES"]
        if _VELOCITY in column_names(table) and len(table.data) == count:
            found = numbers(column(table, _VELOCITY), _VELOCITY)
            return np.where(np.abs(found) < _MOST_KM_S, found, np.nan)
    return np.full(count, np.nan)


def _is_merged(hdus: fits.HDUList) -> bool:
    """Return whether several arms were put together: their fibres have one grid of wavelengths."""
    wavelength = image(hdus, "WAVELENGTH")
    return bool(wavelength.ndim == 1 or np.all(wavelength == wavelength[:1]))
