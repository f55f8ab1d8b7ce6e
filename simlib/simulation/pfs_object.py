"""Simulated spectra as files of the PFS data model: one `pfsObject` for each star.

Layout after the survey's published data model (Subaru-PFS/datamodel, `datamodel.txt`): flux and
variance in nJy on the pixels' own even wavelengths (vacuum; an array, since programs disagree by a
pixel on what a header says), mask, sky, a table of targets and one of exposures. The flux is one
noisy observation; the noiseless one stands beside it in an extension of its own, `SIMULATED`, which
readers of the data model pass over.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.io import fits

from simlib.artifact import publishing
from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.location import Location
from simlib.noise import SKY_TERMS, exposure_counts
from simlib.rng import Purpose, Split, normals
from simlib.units import AB_ZERO_POINT, NANOJANSKY, nanojansky

CATALOGUE, TRACT, PATCH = 0, 0, "0,0"  # catalogue 0 is that of simulated objects
ARM, SPECTROGRAPH = "m", 1
MASK_BITS = {"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 3, "NO_DATA": 8}
ROWS_AT_ONCE = 64  # whose terms are held, 0.2 MB a row
_COARSE = 10  # bins of the coarse covariance
_SCIENCE = 1  # target type
_VERSION = 1  # of the data model's extensions as written here
_UNITS = dict.fromkeys(("FLUX", "SKY", "SIMULATED"), "nJy") | {"COVAR": "nJy2", "WAVELENGTH": "nm"}
_WHOLE = ("MASK", "WAVELENGTH")  # not as float32
_OFF_PIXELS = ("COVAR2", "WAVELENGTH")


def write_pfs_objects(
    spectra: xr.Dataset,
    terms_of: Callable[[xr.Dataset], xr.Dataset],
    config: SimulationConfig,
    folder: Path,
) -> None:
    """Write each row of simulated spectra as one file into a new folder.

    spectra: as from `simulate`, (spectrum, wavelength). terms_of: gives the calculator's terms of
    some of these rows; it is asked for a few at a time. Row i is object i + 1; its noise depends on
    `dataset.seed` and i alone. Raises InputError for a stack of a broken number of exposures, which
    are listed one by one.
    """
    counts = exposure_counts(spectra, config.conditions.exposure_count)
    if (broken := np.flatnonzero(counts != np.floor(counts))).size:
        raise InputError(
            f"row {broken[0] + 1}: exposure_count = {counts[broken[0]]:g}, but a pfsObject file "
            "lists its exposures one by one; give a whole number, or use --format zarr"
        )
    with publishing(Location.of(folder)) as whole:
        whole.path.mkdir()
        for start in range(0, spectra.sizes["spectrum"], ROWS_AT_ONCE):
            some = spectra.isel(spectrum=slice(start, start + ROWS_AT_ONCE))
            terms = terms_of(some)
            for row in range(some.sizes["spectrum"]):
                one, of_one = some.isel(spectrum=row), terms.isel(spectrum=row)
                observed = pfs_object(one, of_one, config, start + row)
                observed.writeto(whole.path / file_name(observed))


def pfs_object(
    spectrum: xr.Dataset, terms: xr.Dataset, config: SimulationConfig, row: int
) -> fits.HDUList:
    """Return the file of one star, in memory."""
    wavelength = spectrum["wavelength"].values
    to_nanojansky = nanojansky(float(spectrum["flux_scale"]), wavelength)
    clean = spectrum["flux"].values * to_nanojansky
    sigma = np.sqrt(spectrum["variance"].values) * to_nanojansky
    noise = normals(config.dataset.seed, Split.test, Purpose.target_noise, row, len(wavelength))
    flux = clean + sigma * noise
    sky = sum(terms[name] for name in SKY_TERMS) / terms["conversion_e"]
    mask = np.zeros(len(wavelength), dtype=np.int32)
    variance = sigma**2
    images = {
        "WAVELENGTH": wavelength,
        "FLUX": flux,
        "MASK": mask,
        "SKY": np.asarray(sky) * nanojansky(1.0, wavelength),
        "COVAR": np.stack([variance, np.zeros_like(variance), np.zeros_like(variance)]),
        "COVAR2": _coarse_covariance(variance),
        "SIMULATED": clean,
    }
    hdus = [fits.PrimaryHDU()]
    for name, values in images.items():
        header = fits.Header() if name in _OFF_PIXELS else _wavelength_header(wavelength)
        if name == "MASK":
            header.extend(_mask_header())
        elif name in _UNITS:
            header["BUNIT"] = _UNITS[name]
        kept = values if name in _WHOLE else values.astype(np.float32)
        hdus.append(fits.ImageHDU(kept, header=header, name=name))
    simulated = hdus[-1].header
    for name, value in _truth(spectrum).items():
        simulated[f"HIERARCH {name}"] = value
    count = int(spectrum.get("exposure_count", config.conditions.exposure_count))
    seconds = float(spectrum.get("exposure_time_s", config.conditions.exposure_time_s))
    tables = [
        _target(row + 1, float(spectrum["magnitude"]), config.stellar.band),
        _observations(count, seconds, row + 1),
        _flux_table(wavelength, flux, sigma, mask),
    ]
    return fits.HDUList([*hdus, *tables])


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


def _mask_header() -> fits.Header:
    return fits.Header([(f"HIERARCH MP_{name}", bit) for name, bit in MASK_BITS.items()])


def _coarse_covariance(variance: np.ndarray) -> np.ndarray:
    """Return the covariance of the mean flux of wide bins: simulated pixels are independent."""
    parts = np.array_split(variance, _COARSE)
    return np.diag([part.sum() / part.size**2 for part in parts])


def _truth(spectrum: xr.Dataset) -> dict[str, float]:
    """Return what the star and its observation were."""
    return {
        str(name): float(value)
        for name, value in spectrum.data_vars.items()
        if not value.dims and name != "interpolated_axis"
    }


def _target(number: int, magnitude: float, band: str) -> fits.BinTableHDU:
    header = fits.Header(
        [
            ("CATID", CATALOGUE),
            ("TRACT", TRACT),
            ("PATCH", PATCH),
            ("OBJID", number),
            ("RA", 0.0),
            ("DEC", 0.0),
            ("HIERARCH TARGETTYPE", _SCIENCE),
        ]
    )
    zero = AB_ZERO_POINT / NANOJANSKY
    columns = [
        fits.Column("filterName", f"{len(band)}A", array=[band]),
        fits.Column("fiberFlux", "E", unit="nJy", array=[zero * 10.0 ** (-0.4 * magnitude)]),
    ]
    return fits.BinTableHDU.from_columns(columns, header=header, name="TARGET")


def _observations(count: int, seconds: float, fiber: int) -> fits.BinTableHDU:
    same = np.ones(count, dtype=int)
    columns = [
        fits.Column("visit", "J", array=1 + np.arange(count)),
        fits.Column("arm", "1A", array=[ARM] * count),
        fits.Column("spectrograph", "J", array=SPECTROGRAPH * same),
        fits.Column("fiberId", "J", array=fiber * same),
        fits.Column("pfsDesignId", "K", array=0 * same),
        fits.Column("pfiNominal", "2E", array=np.zeros((count, 2))),
        fits.Column("pfiCenter", "2E", array=np.zeros((count, 2))),
        fits.Column("expTime", "E", unit="s", array=seconds * same),
    ]
    return fits.BinTableHDU.from_columns(columns, name="OBSERVATIONS")


def _flux_table(
    wavelength: np.ndarray, flux: np.ndarray, sigma: np.ndarray, mask: np.ndarray
) -> fits.BinTableHDU:
    columns = [
        fits.Column("wavelength", "D", unit="nm", array=wavelength),
        fits.Column("flux", "E", unit="nJy", array=flux),
        fits.Column("error", "E", unit="nJy", array=sigma),
        fits.Column("mask", "K", array=mask),
    ]
    return fits.BinTableHDU.from_columns(columns, header=_mask_header(), name="FLUX_TABLE")
