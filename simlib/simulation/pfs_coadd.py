"""Simulated spectra as one file of the PFS data model: a `pfsCoadd`, many stars in a bundle.

Tables and images are joined by `targetId`, the number of a star in the bundle. Beside what the data
model has, `SIMULATED` holds the noiseless flux and `LIST` all that was known of the stars.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits

from simlib.config import SimulationConfig
from simlib.dataset_file import add_attributes, table_of
from simlib.errors import InputError
from simlib.simulation.pfs_parts import (
    ARM,
    MASK_BITS,
    PATCH,
    SCIENCE,
    SPECTROGRAPH,
    TRACT,
    Star,
    fail_unless_observed,
    refuse_unlike_the_survey,
    star_of,
)

MOST_STARS = 32_767  # targetId has 16 bits
ROWS_AT_ONCE = 64  # whose terms are held, 0.2 MB a row
_VERSION = 1  # of the data model's class of bundles


def refuse_too_many(spectra: xr.Dataset) -> None:
    """Raise InputError for more stars than a bundle can number."""
    if (count := spectra.sizes["spectrum"]) > MOST_STARS:
        raise InputError(
            f"a bundle numbers {MOST_STARS} stars at most, these are {count}; write .zarr, or "
            "--format pfs into a folder"
        )


def write_pfs_coadd(
    spectra: xr.Dataset,
    terms_of: Callable[[xr.Dataset], xr.Dataset],
    config: SimulationConfig,
    path: Path,
) -> None:
    """Write all rows of simulated spectra as one bundle.

    The arguments are those of `write_pfs_objects`. Raises InputError for what the data model
    cannot hold.
    """
    fail_unless_observed(spectra)
    refuse_too_many(spectra)
    refuse_unlike_the_survey(spectra, config)
    stars: list[Star] = []
    for start in range(0, spectra.sizes["spectrum"], ROWS_AT_ONCE):
        some = spectra.isel(spectrum=slice(start, start + ROWS_AT_ONCE))
        terms = terms_of(some)
        stars += [
            star_of(some.isel(spectrum=row), terms.isel(spectrum=row), config)
            for row in range(some.sizes["spectrum"])
        ]
    pfs_coadd(stars, spectra, config.stellar.band).writeto(path)


def pfs_coadd(stars: Sequence[Star], spectra: xr.Dataset, band: str) -> fits.HDUList:
    """Return the bundle of stars, in memory. spectra: the rows that they were made of."""
    numbers = range(len(stars))
    primary = fits.PrimaryHDU()
    primary.header["DAMD_VER"] = _VERSION
    add_attributes(primary.header, dict(spectra.attrs))
    covariance = np.zeros((len(stars), 3, len(stars[0].wavelength)), dtype=np.float32)
    covariance[:, 0] = [star.variance for star in stars]
    planes = "".join(f"MP_{name}: {bit}\n" for name, bit in MASK_BITS.items())
    target = {
        "targetId": ("I", numbers),
        "catId": ("J", [star.catalogue_id for star in stars]),
        "tract": ("J", [TRACT] * len(stars)),
        "patch": ("PA()", [PATCH] * len(stars)),
        "objId": ("K", [star.object_id for star in stars]),
        "ra": ("D", [star.ra for star in stars]),
        "dec": ("D", [star.dec for star in stars]),
        "targetType": ("I", [SCIENCE] * len(stars)),
    }
    fluxes = {
        "targetId": ("I", numbers),
        "filterName": ("PA()", [band] * len(stars)),
        "fiberFlux": ("E", [star.fiber_flux for star in stars]),
    }
    metadata = {"targetId": ("I", numbers), "metadata": ("PA()", [planes] * len(stars))}
    table = {
        "targetId": ("I", numbers),
        "wavelength": ("QD()", [star.wavelength for star in stars]),
        "flux": ("QE()", [star.flux.astype(np.float32) for star in stars]),
        "error": ("QE()", [np.sqrt(star.variance).astype(np.float32) for star in stars]),
        "mask": ("QJ()", [star.mask.astype(np.int32) for star in stars]),
    }
    return fits.HDUList(
        [
            primary,
            _table("TARGET", target),
            _table("TARGETFLUX", fluxes),
            _table("OBSERVATIONS", _exposures(stars)),
            _image("WAVELENGTH", stars[0].wavelength, "nm"),
            _image("FLUX", np.stack([star.flux for star in stars]).astype(np.float32), "nJy"),
            _image("MASK", np.stack([star.mask for star in stars])),
            _image("SKY", np.stack([star.sky for star in stars]).astype(np.float32), "nJy"),
            _image("COVAR", covariance, "nJy2"),
            _table("METADATA", metadata),
            _table("FLUXTABLE", table),
            fits.BinTableHDU.from_columns([], nrows=len(stars), name="NOTES"),
            _image("SIMULATED", np.stack([star.clean for star in stars]).astype(np.float32), "nJy"),
            table_of(spectra, "spectrum", "LIST"),
        ]
    )


def _exposures(stars: Sequence[Star]) -> dict[str, tuple[str, Any]]:
    rows = [(number, star, visit) for number, star in enumerate(stars) for visit in star.visits]
    nowhere = np.zeros((len(rows), 2))
    return {
        "targetId": ("I", [number for number, _, _ in rows]),
        "visit": ("J", [visit for _, _, visit in rows]),
        "arm": ("PA()", [ARM] * len(rows)),
        "spectrograph": ("I", [SPECTROGRAPH] * len(rows)),
        "pfsDesignId": ("K", [0] * len(rows)),
        "fiberId": ("J", [star.fiber for _, star, _ in rows]),
        "pfiNominal": ("2D", nowhere),
        "pfiCenter": ("2D", nowhere),
        "obsTime": ("PA()", [""] * len(rows)),
        "expTime": ("E", [star.exposure_time_s for _, star, _ in rows]),
    }


def _table(name: str, columns: dict[str, tuple[str, Any]]) -> fits.BinTableHDU:
    made = []
    for column, (form, values) in columns.items():
        array: Any = list(values)
        if form.endswith("()"):  # lengths that differ are held as objects
            array = np.empty(len(array), dtype=object)
            array[:] = [None] * len(array)
            for number, value in enumerate(values):
                array[number] = value
        made.append(fits.Column(column, form, array=array))
    return fits.BinTableHDU.from_columns(made, name=name)


def _image(name: str, values: np.ndarray, unit: str = "") -> fits.ImageHDU:
    image = fits.ImageHDU(values, name=name)
    if unit:
        image.header["BUNIT"] = unit
    return image
