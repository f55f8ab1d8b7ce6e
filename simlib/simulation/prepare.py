"""What the fast path needs of a grid, an instrument and a band, made once and kept on disk.

Every node of the stellar grid is convolved with the instrument's lines at rest, on an even
wavelength axis of half a pixel, and stored as coefficients of a quintic B-spline: `observe` in
`vectorised.py` explains why that is enough for any Doppler shift. Band counts of every node are a
small polynomial in redshift and reddening.
"""

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import platformdirs
import xarray as xr
from numpy.polynomial import chebyshev
from scipy.ndimage import spline_filter1d
from scipy.sparse import csr_array

from simlib import dust, photometry
from simlib.config import Stellar
from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.parameters import AXES
from simlib.simulation.line_spread import LineSpread, box_gaussian
from simlib.stellar.grid import continuum_on, grid_fingerprint

SPLINE_DEGREE = 5
_MARGIN = 48  # points beyond the shifted arm: a spline rings at its ends
_REACH = 8.0  # sigmas of the kernel that are summed
_BAND_ORDERS = (21, 4)  # Chebyshev terms in redshift and in reddening
_VERSION = 1  # of what is kept on disk


@dataclass(frozen=True)
class Templates:
    """Pre-convolved nodes and band counts.

    coefficients: (nodes, m) float32, B-spline coefficients of the node spectra at rest,
    at rest_start + i x rest_pitch nm. band: (nodes, orders) Chebyshev coefficients of the counts
    in the band for magnitude 0's unit. redshift, ebv: the ranges they hold for.
    """

    line_spread: LineSpread
    r_v: float
    redshift: tuple[float, float]
    ebv: tuple[float, float]
    rest_start: float
    rest_pitch: float
    zero_counts: float
    coefficients: np.ndarray
    band: np.ndarray


def cache_folder() -> Path:
    """Return the folder for what can always be made again (SPECDENOISE_CACHE moves it)."""
    fallback = platformdirs.user_cache_dir("specdenoise")
    return Path(os.environ.get("SPECDENOISE_CACHE", fallback))


def templates_for(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> Templates:
    """Return the templates of this set-up, from the cache or made now and put there.

    Safe when several processes do so at once: each makes its own folder, one is renamed into place.
    """
    key = fingerprint(
        _VERSION, grid_fingerprint(grid), line_spread.template_resolution,
        checksum(line_spread.wavelength, line_spread.lsf_sigma),
        stellar.band, stellar.r_v, stellar.redshift, stellar.ebv,
    )  # fmt: skip
    folder = cache_folder() / "templates" / key
    if not folder.is_dir():
        _keep(make_templates(grid, line_spread, stellar), folder)
    return _load(str(folder))


@lru_cache(maxsize=4)
def _load(folder: str) -> Templates:
    with np.load(Path(folder) / "set_up.npz") as kept:
        spread = LineSpread(kept["wavelength"], kept["lsf_sigma"], float(kept["resolution"]))
        return Templates(
            line_spread=spread,
            r_v=float(kept["r_v"]),
            redshift=tuple(kept["redshift"].tolist()),
            ebv=tuple(kept["ebv"].tolist()),
            rest_start=float(kept["rest_start"]),
            rest_pitch=float(kept["rest_pitch"]),
            zero_counts=float(kept["zero_counts"]),
            coefficients=np.load(Path(folder) / "coefficients.npy", mmap_mode="r"),
            band=kept["band"],
        )


def _keep(templates: Templates, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
        making = Path(scratch) / "whole"
        making.mkdir()
        np.save(making / "coefficients.npy", templates.coefficients)
        np.savez(
            making / "set_up.npz",
            wavelength=templates.line_spread.wavelength,
            lsf_sigma=templates.line_spread.lsf_sigma,
            resolution=templates.line_spread.template_resolution,
            r_v=templates.r_v,
            redshift=templates.redshift,
            ebv=templates.ebv,
            rest_start=templates.rest_start,
            rest_pitch=templates.rest_pitch,
            zero_counts=templates.zero_counts,
            band=templates.band,
        )
        try:
            making.rename(folder)
        except OSError:  # another process was faster; what it made is the same
            if not folder.is_dir():
                raise


def make_templates(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> Templates:
    """Convolve every node with the lines of the instrument and integrate it over the band.

    Raises InputError when the grid does not reach far enough, or is not sharp enough.
    """
    wavelength = np.asarray(grid["wavelength_model"].values, dtype=float)
    pitch = 0.5 * line_spread.pixel_nm
    rest = _rest_axis(line_spread, stellar, pitch)
    convolve = _convolution(wavelength, rest, line_spread)
    band = photometry.load_band(stellar.band)
    weights, ends = _band_weights(wavelength, band, stellar)
    shape = tuple(grid.sizes[name] for name in AXES)
    coefficients = np.zeros((int(np.prod(shape)), len(rest)), dtype=np.float32)
    counts = np.zeros((len(coefficients), weights.shape[1]))
    for number in range(shape[0]):  # one Teff at a time bounds the memory
        part = grid.isel(teff=number)
        continuum = continuum_on(part, wavelength).reshape(-1, len(wavelength))
        flux = part["flux_normalized"].values.reshape(continuum.shape) * continuum
        rows = slice(number * len(flux), (number + 1) * len(flux))
        smooth = np.ascontiguousarray((convolve @ flux.T).T)
        coefficients[rows] = spline_filter1d(smooth, SPLINE_DEGREE, axis=1, mode="mirror")
        # einsum, not a matrix product: its bits do not depend on the number of threads.
        counts[rows] = np.einsum("nw,wk->nk", flux, weights)
        counts[rows] += continuum[:, [0]] * ends[0] + continuum[:, [-1]] * ends[1]
    return Templates(
        line_spread=line_spread,
        r_v=stellar.r_v,
        redshift=stellar.redshift,
        ebv=stellar.ebv,
        rest_start=float(rest[0]),
        rest_pitch=pitch,
        zero_counts=photometry.zero_counts(band),
        coefficients=coefficients,
        band=counts @ _fit_matrix(),
    )


def _rest_axis(line_spread: LineSpread, stellar: Stellar, pitch: float) -> np.ndarray:
    """Return the even rest wavelengths that the shifted arm needs, with a margin."""
    low = line_spread.wavelength[0] / (1.0 + stellar.redshift[1]) - _MARGIN * pitch
    high = line_spread.wavelength[-1] / (1.0 + stellar.redshift[0]) + _MARGIN * pitch
    return np.asarray(low + pitch * np.arange(int(np.ceil((high - low) / pitch)) + 1))


def _convolution(wavelength: np.ndarray, rest: np.ndarray, line_spread: LineSpread) -> csr_array:
    """Return the sparse matrix (rest points, template points) of the kernel at each rest point."""
    sigmas = line_spread.kernel_sigma(rest)
    half = _REACH * sigmas + 0.5 * line_spread.pixel_nm
    low, high = rest[0] - half[0], rest[-1] + half[-1]
    if low < wavelength[0] or high > wavelength[-1]:
        raise InputError(
            f"the stellar grid covers {wavelength[0]:.2f}-{wavelength[-1]:.2f} nm, but the arm, "
            f"stellar.redshift and the line wings need {low:.2f}-{high:.2f} nm; "
            "narrow stellar.redshift or choose a wider grid"
        )
    first = np.searchsorted(wavelength, rest - half)
    count = np.searchsorted(wavelength, rest + half) - first
    row = np.repeat(np.arange(len(rest)), count)
    start = np.concatenate([[0], np.cumsum(count)])
    column = np.arange(start[-1]) - np.repeat(start[:-1] - first, count)
    kernel = box_gaussian(rest[row] - wavelength[column], sigmas[row], line_spread.pixel_nm)
    widths = np.gradient(wavelength)
    return csr_array((kernel * widths[column], column, start), shape=(len(rest), len(wavelength)))


def _band_nodes(limits: tuple[float, float], order: int) -> np.ndarray:
    """Return where a Chebyshev series over the limits is sampled."""
    return limits[0] + 0.5 * (limits[1] - limits[0]) * (1.0 + chebyshev.chebpts1(order))


def _band_weights(
    wavelength: np.ndarray, band: photometry.Band, stellar: Stellar
) -> tuple[np.ndarray, np.ndarray]:
    """Return sample weights (w, k) and end paddings (2, k) at the k nodes of redshift and dust."""
    photometry.require_coverage(
        band,
        wavelength[0] * (1.0 + stellar.redshift[1]),
        wavelength[-1] * (1.0 + stellar.redshift[0]),
    )
    columns, ends = [], []
    for redshift in _band_nodes(stellar.redshift, _BAND_ORDERS[0]):
        observed = wavelength * (1.0 + redshift)
        weights, below, above = photometry.sample_weights(band, observed)
        for ebv in _band_nodes(stellar.ebv, _BAND_ORDERS[1]):
            dimming = dust.transmission(observed, ebv, stellar.r_v)
            columns.append(weights * dimming)
            ends.append((below * dimming[0], above * dimming[-1]))
    return np.stack(columns, axis=1), np.asarray(ends).T


def _fit_matrix() -> np.ndarray:
    """Return the matrix that turns values at the nodes into Chebyshev coefficients."""
    one, other = (
        np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts1(order), order - 1)).T
        for order in _BAND_ORDERS
    )
    return np.kron(one, other)


def band_basis(templates: Templates, redshift: np.ndarray, ebv: np.ndarray) -> np.ndarray:
    """Return the values (n, orders) of the polynomials that `templates.band` multiplies."""
    parts = []
    for values, limits, order in (
        (redshift, templates.redshift, _BAND_ORDERS[0]),
        (ebv, templates.ebv, _BAND_ORDERS[1]),
    ):
        half = 0.5 * (limits[1] - limits[0])
        scaled = np.zeros_like(values) if half == 0.0 else (values - limits[0]) / half - 1.0
        parts.append(chebyshev.chebvander(scaled, order - 1))
    return np.asarray(np.einsum("ni,nj->nij", *parts).reshape(len(redshift), -1))
