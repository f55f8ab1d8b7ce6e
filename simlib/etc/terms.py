"""The calculator: observing conditions in, separate terms out.

Everything over wavelength is prepared once (`vectors`); a condition then costs a few numbers and
one pass over its pixels. Counts are electrons per pixel for one exposure.
"""

from dataclasses import dataclass, fields

import numpy as np
import xarray as xr

from simlib.config import Noise
from simlib.errors import InputError, require_kind
from simlib.etc.conditions import Conditions, check_conditions
from simlib.etc.conventions import convention_named
from simlib.etc.optics import aperture
from simlib.etc.sky import moon
from simlib.etc.sky.atmosphere import airmass, slant, smooth_transmission
from simlib.etc.sky.model import SkyModel
from simlib.etc.terms_dataset import assemble, fixed_terms
from simlib.etc.vectors import Vectors, line_dimming, prepare_vectors
from simlib.instrument import Instrument
from simlib.noise import subtraction_variance

ROWS_TOGETHER = 8  # formed at once, so that the working arrays stay in the processor's cache
LINE_EXTINCTIONS = ("factorised", "exact")
SKY_SUBTRACTION = Noise().sky_subtraction  # 0.01 as in the official calculator
ROW_TERMS = (
    "atmosphere_transmission",
    "aperture_fraction",
    "conversion_e",
    "sky_continuum_e",
    "sky_lines_e",
    "moon_e",
    "sky_subtraction_variance_e2",
)


@dataclass(frozen=True, eq=False)
class RowFactors:
    """The numbers that a few conditions contribute, each (row,)."""

    airmass: np.ndarray
    exposure_time_s: np.ndarray
    area_m2: np.ndarray
    fiber_radius_arcsec: np.ndarray
    moon_rayleigh: np.ndarray
    moon_mie: np.ndarray
    ebv: np.ndarray


@dataclass(frozen=True, eq=False)
class PixelFactors:
    """The vectors over pixels that every condition shares, see `Vectors`."""

    continuum: np.ndarray
    moon_rayleigh: np.ndarray
    moon_mie: np.ndarray
    conversion: np.ndarray
    galactic: np.ndarray
    stray_share: float


def run_etc(
    conditions: xr.Dataset,
    instrument: Instrument,
    sky: SkyModel,
    *,
    exposure_time_s: float = 900.0,
    convention: str = "centred",
    quadrature: str = "converged",
    lsf: str = "etc",
    line_extinction: str = "factorised",
    sky_subtraction: float = SKY_SUBTRACTION,
) -> xr.Dataset:
    """Return the terms of every condition, (<row dimension>, wavelength), float64.

    conditions: see `conditions.check_conditions`; `exposure_time_s` applies where they have none.
    line_extinction: "factorised" brings the summed emission lines to the airmass through nodes
    (within 1e-6), "exact" sums line by line.
    sky_subtraction: error of the sky's level that the last term holds, relative.
    """
    require_kind("conditions", conditions, xr.Dataset, "a table with a row a condition")
    require_kind("instrument", instrument, Instrument, "what `load_instrument` returns")
    require_kind("sky", sky, SkyModel, "what `load_sky` returns")
    if line_extinction not in LINE_EXTINCTIONS:
        raise InputError(
            f"unknown line_extinction {line_extinction!r}; known: {', '.join(LINE_EXTINCTIONS)}"
        )
    checked = check_conditions(conditions, exposure_time_s)
    vectors = prepare_vectors(instrument, sky, convention_named(convention), lsf)
    shared = pixel_factors(vectors)
    exact = line_extinction == "exact"
    values = empty_terms(checked.count, vectors.wavelength.size)
    scalars = _scalars(vectors, checked, quadrature)
    for start in range(0, checked.count, ROWS_TOGETHER):
        rows = slice(start, min(start + ROWS_TOGETHER, checked.count))
        _fill_factors(vectors, scalars, values, rows, exact)
        form_terms(shared, row_factors(scalars, rows), values, rows, sky_subtraction)
    return assemble(
        values,
        fixed_terms(vectors),
        checked,
        effective_area_m2=scalars["area_m2"],
        dark_e_per_s=dark_rate(instrument),
        attrs={
            "quadrature": quadrature,
            "line_extinction": line_extinction,
            "sky_subtraction": sky_subtraction,
        },
    )


def dark_rate(instrument: Instrument) -> float:
    """Return dark electrons per second in one pixel of a spectrum."""
    return instrument.dark_e_per_pixel_s * instrument.trace_width_pixels


def pixel_factors(vectors: Vectors) -> PixelFactors:
    """Return the vectors that `form_terms` needs."""
    instrument = vectors.instrument
    width = instrument.trace_width_pixels * instrument.pixel_um / instrument.trace_separation_um
    return PixelFactors(
        continuum=vectors.continuum,
        moon_rayleigh=vectors.moon_rayleigh,
        moon_mie=vectors.moon_mie,
        conversion=vectors.conversion,
        galactic=vectors.galactic,
        stray_share=instrument.stray_light_fraction * width,
    )


def row_factors(scalars: dict[str, np.ndarray], rows: slice) -> RowFactors:
    """Return the numbers of some rows."""
    return RowFactors(**{field.name: scalars[field.name][rows] for field in fields(RowFactors)})


def empty_terms(rows: int, pixels: int) -> dict[str, np.ndarray]:
    """Return arrays for `form_terms` to fill."""
    block = np.empty((len(ROW_TERMS), rows, pixels))  # one piece: large memory pages serve it
    return dict(zip(ROW_TERMS, block, strict=True)) | {"stray_e": np.empty(rows)}


def form_terms(
    shared: PixelFactors,
    factors: RowFactors,
    values: dict[str, np.ndarray],
    rows: slice,
    sky_subtraction: float = SKY_SUBTRACTION,
) -> None:
    """Turn the factors over (row, pixel) that `values` holds for these rows into terms, in place.

    On entry `sky_lines_e` holds electrons s-1 m-2 arcsec-2, `moon_e` what the air leaves of
    moonlight, `conversion_e` the transmission where the conversion holds; the transmissions and
    the aperture's share are ready. No row sees another.
    """
    seconds = factors.exposure_time_s
    solid = seconds * np.pi * factors.fiber_radius_arcsec**2 * factors.area_m2
    transmission = values["atmosphere_transmission"][rows]
    continuum = values["sky_continuum_e"][rows]
    np.multiply(transmission, (solid * factors.airmass)[:, None], out=continuum)
    continuum *= shared.continuum
    lines = values["sky_lines_e"][rows]
    lines *= solid[:, None]
    moonlight = values["moon_e"][rows]
    scattered = (solid * factors.moon_rayleigh)[:, None] * shared.moon_rayleigh
    scattered += (solid * factors.moon_mie)[:, None] * shared.moon_mie
    moonlight *= scattered
    conversion = values["conversion_e"][rows]
    conversion *= values["aperture_fraction"][rows]
    conversion *= shared.conversion
    conversion *= (seconds * factors.area_m2)[:, None]
    if np.any(factors.ebv):
        conversion *= smooth_transmission(shared.galactic, factors.ebv)
    sky = np.add(continuum, lines, out=scattered)
    sky += moonlight
    values["stray_e"][rows] = shared.stray_share * sky.mean(axis=1)
    subtraction_variance(sky, sky_subtraction, out=values["sky_subtraction_variance_e2"][rows])


def moon_numbers(vectors: Vectors, checked: Conditions, target_airmass: np.ndarray) -> np.ndarray:
    """Return the brightness by molecules and by aerosols, nanolambert, (2, row)."""
    angle = checked.moon_target_angle
    common = (
        moon.phase_brightness(checked.moon_phase)
        * moon.path_to_moon(checked.moon_zenith_angle, vectors.extinction_v)
        * moon.scattered_share(target_airmass, vectors.extinction_v)
        * moon.is_up(checked.moon_zenith_angle)
    )
    scattering = np.stack([moon.rayleigh_scattering(angle), moon.mie_scattering(angle)])
    return np.asarray(scattering * common)


def _scalars(vectors: Vectors, checked: Conditions, quadrature: str) -> dict[str, np.ndarray]:
    field = aperture.telescope_at(vectors.instrument, checked.field_angle)
    target_airmass = airmass(checked.zenith_angle)
    rayleigh, mie = moon_numbers(vectors, checked, target_airmass)
    share = aperture.fraction_in_fiber(
        vectors.instrument,
        field,
        checked.seeing,
        aperture.wavelength_nodes(vectors.instrument),
        offset_arcsec=checked.fiber_offset_arcsec,
        r_eff_arcsec=checked.r_eff_arcsec,
        quadrature=quadrature,
    )
    path = slant(checked.zenith_angle)
    return {
        "airmass": target_airmass,
        "exposure_time_s": checked.exposure_time_s,
        "area_m2": field.area_m2,
        "fiber_radius_arcsec": field.fiber_radius_arcsec,
        "moon_rayleigh": rayleigh,
        "moon_mie": mie,
        "ebv": checked.ebv,
        "path": path,
        "path_weights": vectors.path_weights(path),
        "aperture_share": share,
    }


def _fill_factors(
    vectors: Vectors,
    scalars: dict[str, np.ndarray],
    values: dict[str, np.ndarray],
    rows: slice,
    exact: bool,
) -> None:
    """Put what `form_terms` expects over (row, pixel) into the rows of `values`."""
    path, weights = scalars["path"][rows], scalars["path_weights"][rows]
    transmission = values["atmosphere_transmission"][rows]
    conversion = values["conversion_e"][rows]
    _along(weights, vectors.telluric, transmission)
    transmission *= smooth_transmission(vectors.extinction, path)
    if vectors.places_differ:
        _along(weights, vectors.conversion_telluric, conversion)
        conversion *= smooth_transmission(vectors.conversion_extinction, path)
    else:
        conversion[...] = transmission
    if exact:
        values["sky_lines_e"][rows] = _exact_lines(vectors, path)
    else:
        _along(weights, vectors.lines, values["sky_lines_e"][rows])
    _along(weights, vectors.moon_telluric, values["moon_e"][rows])
    share = scalars["aperture_share"][rows]
    weighted_nodes(share, vectors.aperture_weights, values["aperture_fraction"][rows])


def _along(weights: np.ndarray, nodes: np.ndarray, out: np.ndarray) -> None:
    """Bring (node, pixel) vectors to rows; a single node holds for all."""
    if nodes.shape[0] == 1:
        out[...] = nodes
    else:
        weighted_nodes(weights, nodes, out)


def weighted_nodes(weights: np.ndarray, nodes: np.ndarray, out: np.ndarray) -> None:
    """Put the sum over nodes of (row, node) weights times (node, pixel) vectors into `out`.

    Not a matrix product, whose sums may depend on the rows beside: a row is always the same.
    """
    np.einsum("rn,np->rp", weights, nodes, out=out)


def _exact_lines(vectors: Vectors, path: np.ndarray) -> np.ndarray:
    """Return emission lines on pixels, electrons s-1 m-2 arcsec-2, (row, pixel), line by line."""
    dimming = line_dimming(
        vectors.convention, vectors.sky, vectors.line_wavelength, vectors.line_extinction, path
    )
    return np.asarray((vectors.line_spread @ (vectors.line_rate * dimming).T).T)
