"""Many observations at once, in an order that costs far less: the numbers of each row.

What a spectrum contributes beyond pixels is a handful of numbers, made here for a whole block with
NumPy and xarray; the loops over pixels are in `kernel.py`, and `reordering.md` says why the order
changes nothing.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.bounds import Bound, refuse_out_of_bounds
from simlib.config import LARGEST_EBV, Noise, Normalize
from simlib.errors import InputError
from simlib.etc.grid.interpolate import CONVERSION, interpolate_numbers
from simlib.noise import exposure_counts
from simlib.simulation.compiled import kernel
from simlib.simulation.compiled.band import band_basis
from simlib.simulation.compiled.nodes import KINDS, table_rows
from simlib.simulation.compiled.taps import TAPS
from simlib.simulation.compiled.templates import Templates, box_excess, shift_powers
from simlib.units import LN_PER_MAGNITUDE


@dataclass(frozen=True)
class Spectra:
    """Rows as simulated: normalised flux and variance (n, pixels), flux scale and S/N (n,)."""

    flux: np.ndarray
    variance: np.ndarray
    flux_scale: np.ndarray
    snr: np.ndarray


def observe(
    parameters: xr.Dataset, grid: xr.Dataset, templates: Templates, normalize: Normalize
) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised flux (spectra, pixels), float32, and what it was divided by (spectra,).

    Raises InputError for a redshift that the templates were not prepared for, or a reddening that
    no star has.
    """
    redshift, ebv = parameters["redshift"].values, parameters["ebv"].values
    _require_prepared(parameters, templates.redshift)
    numbers, weights = table_rows(grid, parameters)
    scale = _magnitude_scale(parameters, templates, numbers, weights)
    nodes = len(templates.coefficients) // (KINDS * len(templates.shifts))
    numbers, weights = _with_shifts(templates, redshift, numbers, weights, KINDS * nodes)
    stretch = 1.0 + redshift
    start, pitch = templates.rest
    first = (templates.wavelength[0] / stretch - start) / pitch
    _require_within(templates, numbers, first, stretch)
    curve, middle, largest = centred(templates.curve)
    flux = np.empty((len(redshift), len(templates.wavelength)), dtype=np.float32)
    flux_scale = np.empty(len(redshift))
    kernel.observe_rows(
        templates.coefficients,
        numbers,
        weights.astype(np.float32),
        np.argsort(numbers[:, 0, 0], kind="stable"),  # neighbours share rows of the tables
        first,
        redshift.astype(float),
        LN_PER_MAGNITUDE * ebv,
        scale * np.exp(LN_PER_MAGNITUDE * ebv * (middle - float(templates.band_extinction))),
        ebv / stretch,
        box_excess(templates, stretch),
        np.arange(flux.shape[1], dtype=np.float32),
        templates.widening,
        templates.displacement,
        curve,
        largest,
        np.array(window_pixels(templates.wavelength, normalize)),
        normalize.median,
        flux,
        flux_scale,
    )
    return flux, flux_scale


def centred(curve: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return a curve less the middle of its range (float32), the middle, and half the range."""
    middle = float(np.float32(0.5 * (float(curve.min()) + float(curve.max()))))
    centred = (curve - middle).astype(np.float32)
    return centred, middle, float(np.abs(centred).max())


def _require_prepared(parameters: xr.Dataset, redshifts: np.ndarray) -> None:
    bounds = {"redshift": Bound(*redshifts), "ebv": Bound(0.0, LARGEST_EBV, "mag")}
    labels = parameters["spectrum"].values
    for name, bound in bounds.items():
        values = parameters[name].values
        refuse_out_of_bounds(name, values, bound, lambda row: f"row {labels[row]}")


def _magnitude_scale(
    parameters: xr.Dataset, templates: Templates, numbers: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the factor that gives each spectrum its magnitude, (spectra,).

    The dimming in the middle of the band is still to be divided by.
    """
    redshift, ebv = parameters["redshift"].values, parameters["ebv"].values
    counts = np.empty(len(redshift))
    first, basis = band_basis(redshift, ebv, templates.redshift, templates.band.shape[1])
    spectra, fours, four = numbers.shape
    flat = (spectra, fours * four)
    kernel.band_counts(
        templates.band, numbers.reshape(flat), weights.reshape(flat), first, basis, counts
    )
    brightness = 10.0 ** (-0.4 * parameters["magnitude"].values)
    return np.asarray(float(templates.zero_counts) * brightness / counts)


def _with_shifts(
    templates: Templates,
    redshift: np.ndarray,
    numbers: np.ndarray,
    weights: np.ndarray,
    rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the rows of every power of the redshift, each as much as the redshift asks for.

    numbers, weights: (spectra, fours, 4), of which there come to be more. rows: of one power.
    """
    if len(templates.shifts) == 1:
        return numbers, weights
    shares = shift_powers(templates.shifts, redshift)
    places = [numbers + shift * rows for shift in range(len(templates.shifts))]
    weighed = [weights * share.reshape(-1, 1, 1) for share in shares.T]
    return np.concatenate(places, axis=1), np.concatenate(weighed, axis=1)


def _require_within(
    templates: Templates, numbers: np.ndarray, first: np.ndarray, stretch: np.ndarray
) -> None:
    """Stop before the loops would read beyond a table: they do not look."""
    if not len(first):
        return
    rows, points = templates.coefficients.shape
    last = first + 2.0 / stretch * (len(templates.wavelength) - 1)
    if not (first.min() >= TAPS and last.max() < points - TAPS):
        raise AssertionError("a pixel lies outside the prepared templates")
    if not (numbers.min() >= 0 and numbers.max() < rows):
        raise AssertionError("a node lies outside the prepared templates")


def window_pixels(wavelength: np.ndarray, normalize: Normalize) -> tuple[int, int]:
    """Return the first and the last + 1 of the arm's pixels in the window of the median."""
    low, high = normalize.window_nm
    first = int(np.searchsorted(wavelength, low))
    stop = int(np.searchsorted(wavelength, high, side="right"))
    if first >= stop:
        raise InputError(
            f"normalize.window_nm = [{low:g}, {high:g}] holds no pixel of the arm "
            f"({wavelength[0]:.1f}-{wavelength[-1]:.1f} nm); widen it"
        )
    return first, stop


def add_noise(
    flux: np.ndarray,
    flux_scale: np.ndarray,
    parameters: xr.Dataset,
    terms: xr.Dataset,
    noise: Noise,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance (spectra, pixels), float32, and S/N (spectra,) of normalised flux.

    terms: the stored grid of terms, whose factors are interpolated to the rows; the variance is
    that of `noise.flux_variance`.
    """
    # The source is behind the dust already: the terms are those of a clear line of sight.
    _, got = interpolate_numbers(terms, parameters.drop_vars("ebv", errors="ignore"))
    path = got["path_weight"]
    node = np.minimum(np.argmax(path > 0.0, axis=1), path.shape[1] - 2)
    along = np.stack([path[np.arange(len(node)), node + i] for i in (0, 1)], axis=1)
    seconds_area = got["exposure_time_s"] * got["area_m2"]
    solid = seconds_area * np.pi * got["fiber_radius_arcsec"] ** 2
    brightness = np.stack(
        [got["airmass"], np.ones_like(solid), got["moon_rayleigh"], got["moon_mie"]], axis=1
    )
    sky_weights = along[:, :, np.newaxis] * (solid[:, np.newaxis] * brightness)[:, np.newaxis]
    sky, conversion = _sky_vectors(terms), _conversion_vectors(terms)
    means = np.stack([vector.mean(axis=1) for vector in sky], axis=1)  # (path, 4)
    at_nodes = np.stack([means[node], means[node + 1]], axis=1)
    stray = float(terms.attrs["stray_share"]) * (sky_weights * at_nodes).sum(axis=(1, 2))
    dark = float(terms.attrs["dark_e_per_s"]) * got["exposure_time_s"]
    counts = exposure_counts(parameters, count)
    variance, snr = np.empty_like(flux), np.empty(len(flux))
    kernel.noise_rows(
        flux,
        flux_scale,
        node,
        sky_weights.astype(np.float32),
        *(vector.astype(np.float32) for vector in sky),
        (along * seconds_area[:, np.newaxis]).astype(np.float32),
        conversion.astype(np.float32),
        got["aperture_share"].astype(np.float32),
        terms["aperture_weight"].values.astype(np.float32),
        noise_numbers(terms, noise, counts, stray + dark).astype(np.float32),
        variance,
        snr,
    )
    return variance, snr


def noise_numbers(
    terms: xr.Dataset, noise: Noise, counts: np.ndarray, background: np.ndarray
) -> np.ndarray:
    """Return what the variance needs of each row beside its pixels, (spectra, 6).

    Stray and dark electrons of an exposure; variance per electron of the stack; variance of its
    read-outs; its share of the squared sky; exposures; the margin on everything.
    """
    repeats = counts**2 if noise.sky_subtraction_coherent else counts
    ones = np.ones_like(counts)
    return np.stack(
        [
            background,
            counts * float(terms["sample_factor"]),
            counts * float(terms["read_variance_e2"]),
            repeats * noise.sky_subtraction**2,
            counts,
            float(terms["variance_margin"]) * ones,
        ],
        axis=1,
    )


def _sky_vectors(terms: xr.Dataset) -> list[np.ndarray]:
    """Return continuum, lines and the two parts of moonlight per unit, each (path, pixels)."""
    moon_air = terms["factor_moon_transmission"].values
    return [
        terms["factor_transmission"].values * terms["factor_continuum"].values,
        terms["factor_lines"].values,
        moon_air * terms["factor_moon_rayleigh"].values,
        moon_air * terms["factor_moon_mie"].values,
    ]


def _conversion_vectors(terms: xr.Dataset) -> np.ndarray:
    """Return electrons per flux unit, second and m2, before the fibre, (path, pixels)."""
    air = terms[CONVERSION if CONVERSION in terms else "factor_transmission"].values
    return np.asarray(air * terms["factor_conversion"].values)
