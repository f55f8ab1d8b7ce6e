"""The calculator's terms as a Dataset: names, units, and what holds for every condition."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import xarray as xr

from simlib.etc.conditions import NEEDED, OPTIONAL, Conditions
from simlib.etc.optics import lsf
from simlib.etc.vectors import Vectors
from simlib.instrument import Instrument
from simlib.units import FLUX_UNIT_NAME
from simlib.version import version

PROFILE_WAVELENGTH_STEP_NM = 5.0
PROFILE_REACH_PIXELS, PROFILE_STEP_PIXELS = 24.0, 0.1

ATTRS: dict[str, tuple[str, str]] = {
    "wavelength": ("nm", "wavelength of the pixel's centre"),
    "atmosphere_transmission": ("1", "transmission of the air, smoothed by the LSF"),
    "instrument_throughput": ("1", "throughput from telescope to detector, no fibre aperture"),
    "aperture_fraction": ("1", "share of the source's light that enters the fibre"),
    "effective_area_m2": ("m2", "collecting area, vignetting included"),
    "trace_fraction": ("1", "share of a target's light inside its trace (f0)"),
    "trace_fraction_sky": ("1", "share of the sky's light in a trace, neighbours' included (f1)"),
    "conversion_e": (f"electron / ({FLUX_UNIT_NAME})", "electrons per unit of flux above the air"),
    "sky_continuum_e": ("electron", "night-sky continuum"),
    "sky_lines_e": ("electron", "night-sky emission lines"),
    "moon_e": ("electron", "scattered moonlight"),
    "stray_e": ("electron", "light scattered inside the spectrograph"),
    "dark_e": ("electron", "dark current"),
    "read_variance_e2": ("electron2", "variance of one read-out"),
    "sky_subtraction_variance_e2": ("electron2", "error of sky subtraction, one exposure"),
    "sample_factor": ("1", "variance per count of the detector"),
    "variance_margin": ("1", "factor on the whole variance, read-out included"),
    "lsf_sigma": ("nm", "Gaussian fitted to the LSF within 5 pixels, pixel included"),
    "lsf_profile": ("1", "share of a line in the pixel centred `offset` pixels from it"),
    "wavelength_lsf": ("nm", "wavelength of the line"),
    "offset": ("pixel", "pixel's centre less the line's place"),
    "extinction": ("mag", "smooth extinction per airmass"),
    "seeing": ("arcsec", "FWHM at 800 nm"),
    "zenith_angle": ("deg", "zenith angle of the target"),
    "field_angle": ("deg", "distance from the field's centre"),
    "moon_zenith_angle": ("deg", "zenith angle of the Moon"),
    "moon_target_angle": ("deg", "angle between Moon and target"),
    "moon_phase": ("1", "0 new, 0.25 quarter, 0.5 full"),
    "exposure_time_s": ("s", "time of one read-out"),
    "exposure_count": ("1", "number of read-outs"),
    "ebv": ("mag", "E(B-V) of foreground dust"),
    "fiber_offset_arcsec": ("arcsec", "distance of the source from the fibre's centre"),
    "r_eff_arcsec": ("arcsec", "half-light radius of the source, 0: a point"),
}


def attrs_of(name: str) -> dict[str, str]:
    """Return units and meaning of a variable."""
    units, meaning = ATTRS[name]
    extra = {"medium": "vacuum"} if name.startswith("wavelength") else {}
    return {"units": units, "long_name": meaning} | extra


@lru_cache(maxsize=8)
def fixed_terms(vectors: Vectors) -> xr.Dataset:
    """Return what holds for every condition: transmissions, trace fractions, the LSF."""
    instrument = vectors.instrument
    lines = line_terms(instrument, vectors.kind)
    terms = xr.Dataset(
        {
            "instrument_throughput": ("wavelength", vectors.throughput),
            "trace_fraction": ("wavelength", vectors.trace_fraction),
            "trace_fraction_sky": ("wavelength", vectors.trace_fraction_sky),
            "extinction": ("wavelength", vectors.extinction),
            **lines.data_vars,
            "read_variance_e2": instrument.read_noise_e**2 * instrument.trace_width_pixels,
            "sample_factor": instrument.sample_factor,
            "variance_margin": vectors.convention.variance_margin,
        },
        coords=lines.coords,
        attrs=provenance(vectors),
    )
    for name in terms.variables:
        terms[name].attrs = attrs_of(str(name))
    return terms


def line_terms(instrument: Instrument, kind: str) -> xr.Dataset:
    """Return the LSF alone, `lsf_sigma` and `lsf_profile`; no sky is needed for it.

    kind: see `lsf.check_kind`.
    """
    low, high = instrument.wavelength_min_nm, instrument.wavelength_max_nm
    places = np.arange(low, high + 0.5 * PROFILE_WAVELENGTH_STEP_NM, PROFILE_WAVELENGTH_STEP_NM)
    steps = round(PROFILE_REACH_PIXELS / PROFILE_STEP_PIXELS)
    offset = np.arange(-steps, steps + 1) * PROFILE_STEP_PIXELS
    shapes = lsf.profile(lsf.mtf(instrument, places, kind), offset)
    sigma = lsf.lsf_sigma(instrument, instrument.wavelength, kind)
    return xr.Dataset(
        {
            "lsf_sigma": ("wavelength", sigma),
            "lsf_profile": (("wavelength_lsf", "offset"), shapes),
        },
        coords={"wavelength": instrument.wavelength, "wavelength_lsf": places, "offset": offset},
        attrs={"lsf": kind},
    )


def provenance(vectors: Vectors) -> dict[str, str | float]:
    """Return what the terms were made from, as attributes that any store can hold."""
    return {
        "instrument": vectors.instrument.name,
        "instrument_checksum": vectors.instrument.checksum,
        "sky": vectors.sky.source,
        "sky_checksum": vectors.sky.checksum,
        "lsf": vectors.kind,
        "convention": vectors.convention.name,
        "throughput_factor": vectors.convention.throughput_factor,
        "conversion_holds_at": "pixel centre" if not vectors.places_differ else "left pixel edge",
        "flux_unit": FLUX_UNIT_NAME,
        "counts": "electrons per pixel for one exposure",
        "software": f"specdenoise {version()}",
    }


def assemble(
    values: Mapping[str, np.ndarray],
    fixed: xr.Dataset,
    checked: Conditions,
    *,
    effective_area_m2: np.ndarray,
    dark_e_per_s: float,
    attrs: Mapping[str, str | float],
) -> xr.Dataset:
    """Return one Dataset of the terms of rows, of the fixed terms, and of the conditions."""
    dim = checked.dim
    rows = {
        name: ((dim, "wavelength") if array.ndim == 2 else dim, array)
        for name, array in values.items()
    }
    rows["effective_area_m2"] = (dim, effective_area_m2)
    rows["dark_e"] = (dim, dark_e_per_s * checked.exposure_time_s)
    coords = {name: (dim, getattr(checked, name)) for name in (*NEEDED, *OPTIONAL)}
    terms = fixed.assign({name: xr.Variable(d, v, attrs_of(name)) for name, (d, v) in rows.items()})
    terms = terms.assign_coords(
        {name: xr.Variable(d, v, attrs_of(name)) for name, (d, v) in coords.items()}
    )
    return terms.assign_attrs(attrs)
