"""What the compiled path needs of a grid, an instrument and a band: tables made once.

Every node of the stellar grid is convolved with the instrument's lines at rest, on an even
wavelength axis of half a pixel, and kept as the coefficients that `taps.py` weighs, beside its
second derivatives along the grid's axes. `reordering.md` explains why that is enough for any
Doppler shift and any star. `band.py` has the counts of every node in the band.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.polynomial import chebyshev
from scipy.sparse import csr_array

from simlib import dust, photometry
from simlib.config import Stellar
from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.simulation.compiled.band import band_table, band_weights, extinction_over
from simlib.simulation.compiled.matrix_products import combine
from simlib.simulation.compiled.nodes import KINDS, second_derivatives
from simlib.simulation.compiled.taps import coefficients
from simlib.simulation.line_spread import LineSpread
from simlib.stellar.grid import continuum_on
from simlib.units import LN_PER_MAGNITUDE

_MARGIN = 48  # points beyond the shifted arm: coefficients ring at their ends
_REACH = 8.0  # sigmas of the kernel that are summed
_PROFILE_SHIFTS = 3  # Doppler shifts at which nodes are convolved with a tabulated profile
_WIDENING_ORDERS = 2  # powers of redshift in the width that a shifted kernel lacks
_POINTS_A_PIXEL = 2
_LEAST_SHIFT = 1e-4  # redshifts are never prepared for less than this range


@dataclass(frozen=True, eq=False)
class Templates:
    """Pre-convolved nodes, band counts, and vectors over pixels. All arrays are read-only.

    coefficients: (powers x kinds x nodes, m) float32, see `nodes.table_rows`; what taps weigh at
    rest_start + i x rest_pitch nm, first those of even i, then those of odd i.
    band: (kinds x nodes, columns) float32, counts in the band, see `band.band_basis`, for redshift
    in `redshift` (2,), behind dust less the extinction `band_extinction`, mag per E(B-V). shifts:
    (shifts,) the Doppler shifts at which nodes were convolved. widening: (powers, pixels) float32,
    see `_widening`. curve, displacement: (pixels,) float32, dust in magnitudes per E(B-V), and
    points that it moves a pixel by.
    """

    coefficients: np.ndarray
    band: np.ndarray
    shifts: np.ndarray
    widening: np.ndarray
    curve: np.ndarray
    displacement: np.ndarray
    wavelength: np.ndarray
    redshift: np.ndarray
    band_extinction: np.ndarray
    rest: np.ndarray  # start and pitch, nm
    zero_counts: np.ndarray

    def __post_init__(self) -> None:
        """Lock the arrays: they are shared by all that simulate."""
        for array in vars(self).values():
            array.setflags(write=False)


def make_templates(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> Templates:
    """Convolve every node with the lines of the instrument and integrate it over the band.

    Raises InputError when the grid does not reach far enough, or is not sharp enough.
    """
    wavelength = np.asarray(grid["wavelength_model"].values, dtype=float)
    pitch = line_spread.pixel_nm / _POINTS_A_PIXEL
    rest = _rest_axis(line_spread, stellar, pitch)
    shifts = _shifts(line_spread, stellar)
    convolutions = [_convolution(wavelength, rest, line_spread, shift) for shift in shifts]
    to_powers = np.linalg.inv(shift_powers(shifts, shifts))
    band = photometry.load_band(stellar.band)
    in_band = band_weights(wavelength, band, stellar)
    shape = tuple(grid.sizes[name] for name in AXES)
    tables = np.empty((len(shifts), KINDS, *shape, len(rest)), dtype=np.float32)
    counts = np.empty((KINDS, *shape, in_band[0].shape[1]), dtype=np.float32)
    for number in range(shape[0]):  # one Teff at a time bounds the memory
        part = grid.isel(teff=number)
        flux, continuum = _spectra(part, wavelength)
        at_shifts = [convolve @ flux.T for convolve in convolutions]
        for power, shares in enumerate(to_powers):
            points = coefficients(sum(s * at for s, at in zip(shares, at_shifts, strict=True)))
            halves = np.concatenate([points[0::2], points[1::2]])
            tables[power, 0, number] = halves.T.reshape(*shape[1:], -1)
        counts[0, number] = band_table(flux, continuum, *in_band).reshape(*shape[1:], -1)
    axes = [grid[name].values for name in AXES]
    for some in (*tables, counts):
        add_derivatives(some, axes)
    moment = line_spread.second_moment(line_spread.wavelength)
    curve = dust.extinction_curve(line_spread.wavelength, stellar.r_v)
    slope = np.gradient(curve, line_spread.wavelength)
    return Templates(
        coefficients=tables.reshape(-1, len(rest)),
        band=counts.reshape(-1, counts.shape[-1]),
        shifts=shifts,
        widening=_widening(line_spread, stellar, pitch),
        curve=curve.astype(np.float32),
        displacement=(LN_PER_MAGNITUDE * moment * slope / pitch).astype(np.float32),
        wavelength=np.array(line_spread.wavelength),
        redshift=np.array(stellar.redshift),
        band_extinction=np.array(extinction_over(band, stellar.r_v)[0]),
        rest=np.array([rest[0], pitch]),
        zero_counts=np.array(photometry.zero_counts(band)),
    )


def _spectra(part: xr.Dataset, wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and continuum of the nodes of one temperature, (nodes, n); 0 where missing."""
    continuum = continuum_on(part, wavelength).reshape(-1, len(wavelength))
    flux = part["flux_normalized"].values.reshape(continuum.shape) * continuum
    present = np.asarray(part["present"].values).reshape(-1, 1)
    if present.all():
        return flux, continuum
    return np.where(present, flux, 0.0), np.where(present, continuum, 0.0)


def add_derivatives(tables: np.ndarray, axes: list[np.ndarray]) -> None:
    """Fill tables[1:] with the second derivatives along each axis of the splines of tables[0].

    tables: (kinds, axes …, n), float32. Sums run over nodes in a fixed order.
    """
    for axis, nodes in enumerate(axes):
        shape = (int(np.prod(tables.shape[1 : 1 + axis])), len(nodes), -1)
        combine(
            second_derivatives(nodes), tables[0].reshape(shape), tables[1 + axis].reshape(shape)
        )


def _rest_axis(line_spread: LineSpread, stellar: Stellar, pitch: float) -> np.ndarray:
    """Return the even rest wavelengths that the shifted arm needs, with a margin."""
    low = line_spread.wavelength[0] / (1.0 + stellar.redshift[1]) - _MARGIN * pitch
    high = line_spread.wavelength[-1] / (1.0 + stellar.redshift[0]) + _MARGIN * pitch
    half = int(np.ceil((high - low) / (2.0 * pitch))) + 1
    return np.asarray(low + pitch * np.arange(2 * half))


def _shifts(line_spread: LineSpread, stellar: Stellar) -> np.ndarray:
    """Return the shifts to convolve at: none for the Gaussian, whose widening is known."""
    if line_spread.profile is None:
        return np.zeros(1)
    low, high = stellar.redshift
    middle, half = 0.5 * (low + high), max(0.5 * (high - low), _LEAST_SHIFT)
    return np.asarray(middle + half * chebyshev.chebpts1(_PROFILE_SHIFTS))


def _convolution(
    wavelength: np.ndarray, rest: np.ndarray, line_spread: LineSpread, shift: float
) -> csr_array:
    """Return the sparse matrix (rest points, template points) of the kernel at each rest point.

    The kernel is that of observed wavelength rest x (1 + shift), seen in the rest frame.
    """
    stretch = 1.0 + shift
    half = line_spread.reach(rest * stretch, _REACH) / stretch
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
    offset = stretch * (rest[row] - wavelength[column])
    kernel = line_spread.kernel(offset, stretch * rest[row]) * stretch
    widths = np.gradient(wavelength)
    return csr_array((kernel * widths[column], column, start), shape=(len(rest), len(wavelength)))


def _widening(line_spread: LineSpread, stellar: Stellar, pitch: float) -> np.ndarray:
    """Return the second moment that the kernel at rest lacks, as powers of redshift, per pixel.

    v(y) / (1 + z)^2 - v(y / (1 + z)), in points squared, is z (w0 + w1 z) to better than a part in
    10^4 of the whole. A tabulated profile needs none.
    """
    pixels = line_spread.wavelength
    if line_spread.profile is not None:
        return np.zeros((_WIDENING_ORDERS, len(pixels)), dtype=np.float32)
    reach = max(*np.abs(stellar.redshift), _LEAST_SHIFT)
    shifts = reach * chebyshev.chebpts1(2 * _WIDENING_ORDERS)
    stretch = 1.0 + shifts[:, np.newaxis]
    lacking = line_spread.second_moment(pixels) / stretch**2
    lacking = (lacking - line_spread.second_moment(pixels / stretch)) / pitch**2
    powers = (shifts / reach)[:, np.newaxis] ** np.arange(_WIDENING_ORDERS)
    fitted = np.linalg.lstsq(powers, lacking / shifts[:, np.newaxis], rcond=None)[0]
    return np.asarray(fitted / reach ** np.arange(_WIDENING_ORDERS)[:, np.newaxis]).astype(
        np.float32
    )


def box_excess(templates: Templates, stretch: np.ndarray) -> np.ndarray:
    """Return the fourth cumulant that the pixel at rest lacks, in points, (n,).

    A box of width D has -D^4 / 120; the rest of the widening is a Gaussian's, which has none.
    """
    if len(templates.shifts) > 1:
        return np.zeros(len(stretch))
    return np.asarray(-(_POINTS_A_PIXEL**4) / 120.0 * (stretch**-4 - 1.0))


def shift_powers(shifts: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return (n, shifts): powers 0, 1, ... of redshifts from the middle of the prepared shifts.

    The first is 1 and the others' tables are small, which spares float32 a rounding.
    """
    half = max(0.5 * float(np.ptp(shifts)), _LEAST_SHIFT)
    from_middle = (redshift - shifts[len(shifts) // 2]) / half
    return np.asarray(from_middle[:, np.newaxis] ** np.arange(len(shifts)))
