"""Simulated spectra as files of the PFS data model: one `pfsObject` for each star.

Layout after the survey's published data model (Subaru-PFS/datamodel, `datamodel.txt`): flux and
variance in nJy on the pixels' own wavelengths (vacuum), mask, sky, a table of targets and one of
exposures. The flux is one noisy observation; the noiseless one stands beside it in an extension of
its own, `SIMULATED`, and all that was known of the star in another, `LIST`; readers of the data
model pass over both.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.io import fits

from simlib.artifact import publishing
from simlib.config import SimulationConfig
from simlib.dataset_file import add_attributes, table_of
from simlib.location import Location
from simlib.simulation.pfs_parts import (
    ARM,
    PATCH,
    SCIENCE,
    SPECTROGRAPH,
    TRACT,
    Star,
    fail_unless_observed,
    mask_header,
    refuse_unlike_the_survey,
    star_of,
)

ROWS_AT_ONCE = 64  # whose terms are held, 0.2 MB a row
_COARSE = 10  # bins of the coarse covariance
_LONGEST = 40  # name in a header, which leaves room for any number
_VERSION = 2  # of the data model's class of single stars: 2 adds NOTES


def write_pfs_objects(
    spectra: xr.Dataset,
    terms_of: Callable[[xr.Dataset], xr.Dataset],
    config: SimulationConfig,
    folder: Path,
) -> None:
    """Write each row of simulated spectra as one file into a new folder.

    spectra: as from `simulate_targets`, (spectrum, wavelength). terms_of: gives the calculator's
    terms of some of these rows; it is asked for a few at a time. Without an `object_id`, row i is
    object i + 1. Raises InputError for what the data model cannot hold.
    """
    fail_unless_observed(spectra)
    refuse_unlike_the_survey(spectra, config)
    with publishing(Location.of(folder)) as whole:
        whole.path.mkdir()
        for start in range(0, spectra.sizes["spectrum"], ROWS_AT_ONCE):
            some = spectra.isel(spectrum=slice(start, start + ROWS_AT_ONCE))
            terms = terms_of(some)
            for row in range(some.sizes["spectrum"]):
                observed = pfs_object(some.isel(spectrum=row), terms.isel(spectrum=row), config)
                observed.writeto(whole.path / file_name(observed))


def pfs_object(spectrum: xr.Dataset, terms: xr.Dataset, config: SimulationConfig) -> fits.HDUList:
    """Return the file of one star, in memory."""
    star = star_of(spectrum, terms, config)
    nothing = np.zeros_like(star.variance)
    images = {
        "FLUX": star.flux,
        "MASK": star.mask,
        "SKY": star.sky,
        "COVAR": np.stack([star.variance, nothing, nothing]),
        "COVAR2": _coarse_covariance(star.variance),
        "SIMULATED": star.clean,
    }
    primary = fits.PrimaryHDU()
    add_attributes(primary.header, dict(spectrum.attrs))
    hdus = [primary]
    for name, values in images.items():
        header = fits.Header() if name == "COVAR2" else _wavelength_header(star.wavelength)
        if name == "MASK":
            header.extend(mask_header())
        elif name != "COVAR2":
            header["BUNIT"] = "nJy2" if name == "COVAR" else "nJy"
        kept = values if name == "MASK" else values.astype(np.float32)
        hdus.append(fits.ImageHDU(kept, header=header, name=name))
    simulated = hdus[-1].header
    for name, value in _truth(spectrum).items():
        simulated[f"HIERARCH {name}"] = value
    # Given in full: the header's numbers alone are read one pixel off by the survey's package.
    places = fits.ImageHDU(star.wavelength, name="WAVELENGTH")
    places.header["BUNIT"] = "nm"
    notes = fits.BinTableHDU.from_columns([], nrows=1, name="NOTES")
    tables = [
        _target(star, config.stellar.band),
        _observations(star),
        notes,
        table_of(spectrum.expand_dims("spectrum"), "spectrum", "LIST"),
        _flux_table(star),
    ]
    return fits.HDUList([*hdus, places, *tables])


def file_name(observed: fits.HDUList) -> str:
    """Return the data model's name of an object's file."""
    target = observed["TARGET"].header
    visits = [int(visit) for visit in observed["OBSERVATIONS"].data["visit"]]
    return (
        f"pfsObject-{target['CATID']:05d}-{target['TRACT']:05d}-{target['PATCH']}-"
        f"{target['OBJID']:016x}-{len(visits) % 1000:03d}-0x{visit_hash(visits):016x}.fits"
    )


def visit_hash(visits: list[int]) -> int:
    """Return the data model's number for a set of visits: 63 bits of a SHA-1."""
    # What is hashed there is Python's own writing of the list of their digits.
    text = str([str(visit).encode() for visit in sorted(visits)])
    return int(hashlib.sha1(text.encode()).hexdigest(), 16) & (2**63 - 1)


def _wavelength_header(wavelength: np.ndarray) -> fits.Header:
    step = (wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
    return fits.Header(
        [
            ("WCSAXES", 1),
            ("CTYPE1", "WAVE", "vacuum wavelength"),
            ("CUNIT1", "nm"),
            ("CRPIX1", 1.0),
            ("CRVAL1", float(wavelength[0])),
            ("CDELT1", float(step)),
            ("DAMD_VER", _VERSION),
        ]
    )


def _coarse_covariance(variance: np.ndarray) -> np.ndarray:
    """Return the covariance of the mean flux of wide bins: simulated pixels are independent."""
    parts = np.array_split(variance, _COARSE)
    return np.diag([part.sum() / part.size**2 for part in parts])


def _truth(spectrum: xr.Dataset) -> dict[str, float]:
    """Return the numbers of the star and its observation; all else of the list is in LIST."""
    return {
        str(name): float(value)
        for name, value in spectrum.data_vars.items()
        if not value.dims and value.dtype.kind == "f" and np.isfinite(value) and _fits(str(name))
    }


def _fits(name: str) -> bool:
    """Return whether a header can have a card of this name."""
    return name.isascii() and len(name) <= _LONGEST


def _target(star: Star, band: str) -> fits.BinTableHDU:
    cards: list[tuple[str, object]] = [
        ("CATID", star.catalogue_id),
        ("TRACT", TRACT),
        ("PATCH", PATCH),
        ("OBJID", star.object_id),
        ("HIERARCH TARGETTYPE", SCIENCE),
    ]
    places = (("RA", star.ra), ("DEC", star.dec))
    header = fits.Header([*cards, *((name, deg) for name, deg in places if np.isfinite(deg))])
    columns = [
        fits.Column("filterName", f"{len(band)}A", array=[band]),
        fits.Column("fiberFlux", "E", unit="nJy", array=[star.fiber_flux]),
    ]
    return fits.BinTableHDU.from_columns(columns, header=header, name="TARGET")


def _observations(star: Star) -> fits.BinTableHDU:
    count = len(star.visits)
    same = np.ones(count, dtype=int)
    columns = [
        fits.Column("visit", "J", array=star.visits),
        fits.Column("arm", "1A", array=[ARM] * count),
        fits.Column("spectrograph", "J", array=SPECTROGRAPH * same),
        fits.Column("fiberId", "J", array=star.fiber * same),
        fits.Column("pfsDesignId", "K", array=0 * same),
        fits.Column("pfiNominal", "2E", array=np.zeros((count, 2))),
        fits.Column("pfiCenter", "2E", array=np.zeros((count, 2))),
        fits.Column("obsTime", "1A", array=[""] * count),
        fits.Column("expTime", "E", unit="s", array=star.exposure_time_s * same),
    ]
    return fits.BinTableHDU.from_columns(columns, name="OBSERVATIONS")


def _flux_table(star: Star) -> fits.BinTableHDU:
    columns = [
        fits.Column("wavelength", "D", unit="nm", array=star.wavelength),
        fits.Column("flux", "E", unit="nJy", array=star.flux),
        fits.Column("error", "E", unit="nJy", array=np.sqrt(star.variance)),
        fits.Column("mask", "K", array=star.mask),
    ]
    return fits.BinTableHDU.from_columns(columns, header=mask_header(), name="FLUX_TABLE")
