"""The terms on a grid over observing conditions.

The grid holds each factor of the terms on the axes that it depends on and no other, so it is
small: one or two megabytes for any number of conditions.
"""

from typing import Any

import numpy as np
import xarray as xr

from simlib.artifact import FORMAT_VERSION
from simlib.config import Conditions as Ranges
from simlib.config import SimulationConfig
from simlib.etc.conventions import convention_named
from simlib.etc.optics import aperture
from simlib.etc.sky import moon
from simlib.etc.sky.atmosphere import airmass_of_slant, slant, smooth_transmission
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import dark_rate, pixel_factors
from simlib.etc.terms_dataset import fixed_terms
from simlib.etc.vectors import Vectors, prepare_vectors
from simlib.fingerprint import fingerprint
from simlib.instrument import load_instrument

PHYSICS_VERSION = 2  # raise it when the same config gives other terms
RANGED = (
    "seeing",
    "zenith_angle",
    "field_angle",
    "moon_zenith_angle",
    "moon_target_angle",
    "moon_phase",
)
PIXEL_FACTORS = ("continuum", "moon_rayleigh", "moon_mie", "conversion", "galactic")


def terms_fingerprint(config: SimulationConfig) -> str:
    """Return 16 hex digits of everything that shapes the terms."""
    return fingerprint(terms_inputs(config))


def terms_inputs(config: SimulationConfig) -> dict[str, Any]:
    """Return everything that shapes the terms, by name: config keys, versions, checksums."""
    return {
        "version of formats": FORMAT_VERSION,
        "version of the terms": PHYSICS_VERSION,
        "content of instrument.name": load_instrument(config.instrument.name).checksum,
        "content of sky": load_sky(config.sky).checksum,
        **config.leaves("instrument", but={"name"}),
        **config.leaves("sky", but={"tables"}),
        **config.leaves("conditions", but={"exposure_count", "geometry"}),
        **config.leaves("terms", but={"source", "tolerance"}),
    }


def build_terms_grid(config: SimulationConfig) -> xr.Dataset:
    """Return the factors of the terms on the nodes of the config's conditions.

    Attributes carry fingerprint, ranges and provenance; `interpolate_terms` reads it.
    """
    instrument = load_instrument(config.instrument.name)
    vectors = prepare_vectors(
        instrument,
        load_sky(config.sky),
        convention_named(config.terms.convention),
        config.instrument.lsf,
    )
    grid = fixed_terms(vectors).merge(_air(vectors, config))
    grid = grid.merge(_telescope(vectors, config)).merge(_moonlight(vectors, config))
    shared = pixel_factors(vectors)
    grid = grid.assign({f"factor_{n}": ("wavelength", getattr(shared, n)) for n in PIXEL_FACTORS})
    ranges = {f"range_{name}": list(getattr(config.conditions, name)) for name in RANGED}
    return grid.assign_attrs(
        ranges,
        fingerprint=terms_fingerprint(config),
        format_version=FORMAT_VERSION,
        quadrature=config.terms.quadrature,
        exposure_time_s=config.conditions.exposure_time_s,
        dark_e_per_s=dark_rate(instrument),
        fiber_radius_um=instrument.radius_um,
        stray_share=shared.stray_share,
    )


def _air(vectors: Vectors, config: SimulationConfig) -> xr.Dataset:
    """Return what depends on the path through the air alone."""
    low, high = config.conditions.zenith_angle
    path = _nodes(
        float(slant(np.array(low))), float(slant(np.array(high))), config.terms.airmass_nodes
    )
    weights = vectors.path_weights(path)

    def along(nodes: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ nodes) if len(nodes) > 1 else np.repeat(nodes, path.size, 0)

    dims = ("path", "wavelength")
    factors = {
        "factor_transmission": along(vectors.telluric)
        * smooth_transmission(vectors.extinction, path),
        "factor_lines": along(vectors.lines),
        "factor_moon_transmission": along(vectors.moon_telluric),
    }
    if vectors.places_differ:
        factors["factor_conversion_transmission"] = along(
            vectors.conversion_telluric
        ) * smooth_transmission(vectors.conversion_extinction, path)
    share = moon.scattered_share(airmass_of_slant(path), vectors.extinction_v)
    return xr.Dataset(
        {name: (dims, values) for name, values in factors.items()}
        | {"ln_moon_share": ("path", np.log(share))},
        coords={"path": ("path", path, {"units": "1", "long_name": "1 / cos(zenith angle)"})},
    )


def _telescope(vectors: Vectors, config: SimulationConfig) -> xr.Dataset:
    """Return what depends on field angle, and with it on the seeing."""
    instrument, ranges = vectors.instrument, config.conditions
    seeing = _nodes(*ranges.seeing, config.terms.seeing_nodes)
    field_angle = _field_nodes(ranges, instrument.field_angle_deg)
    pairs = [axis.ravel() for axis in np.meshgrid(seeing, field_angle, indexing="ij")]
    telescope = aperture.telescope_at(instrument, pairs[1])
    wavelengths = aperture.wavelength_nodes(instrument)
    share = aperture.fraction_in_fiber(
        instrument,
        telescope,
        pairs[0],
        wavelengths,
        offset_arcsec=np.zeros(pairs[0].size),
        r_eff_arcsec=np.zeros(pairs[0].size),
        quadrature=config.terms.quadrature,
    ).reshape(seeing.size, field_angle.size, -1)
    return xr.Dataset(
        {
            "ln_aperture_fraction": (
                ("seeing", "field_angle", "wavelength_aperture"),
                np.log(share),
            ),
            "aperture_weight": (("wavelength_aperture", "wavelength"), vectors.aperture_weights),
            "focal_length_m": (
                "field_angle",
                np.interp(field_angle, instrument.field_angle_deg, instrument.focal_length_m),
            ),
            "area_m2": ("field_angle", aperture.telescope_at(instrument, field_angle).area_m2),
        },
        coords={
            "seeing": seeing,
            "field_angle": field_angle,
            "wavelength_aperture": wavelengths,
        },
    )


def _field_nodes(ranges: Ranges, table: np.ndarray) -> np.ndarray:
    """The table's own nodes: what is linear between them is then interpolated exactly."""
    low, high = _nodes(*ranges.field_angle, 2)
    inside = table[(table > low) & (table < high)]
    return np.concatenate([[low], inside, [high]])


def _moonlight(vectors: Vectors, config: SimulationConfig) -> xr.Dataset:
    """Return the logarithms of the moonlight's factors, each on its own axis."""
    ranges, terms = config.conditions, config.terms
    low, high = (min(angle, moon.HORIZON_DEG) for angle in ranges.moon_zenith_angle)
    zenith = _nodes(low, high, terms.moon_zenith_nodes)
    apart = _nodes(*ranges.moon_target_angle, terms.moon_target_nodes)
    phase = _nodes(*ranges.moon_phase, terms.moon_phase_nodes)
    to_moon = moon.path_to_moon(zenith, vectors.extinction_v)
    return xr.Dataset(
        {
            "ln_moon_path": ("moon_zenith_angle", np.log(to_moon)),
            "ln_moon_rayleigh": ("moon_target_angle", np.log(moon.rayleigh_scattering(apart))),
            "ln_moon_mie": ("moon_target_angle", np.log(moon.mie_scattering(apart))),
            "ln_moon_phase": ("moon_phase", np.log(moon.phase_brightness(phase))),
        },
        coords={"moon_zenith_angle": zenith, "moon_target_angle": apart, "moon_phase": phase},
    )


def _nodes(low: float, high: float, count: int) -> np.ndarray:
    """Nodes from low to high; a range of one value still gets two nodes to lie between."""
    return np.linspace(low, max(high, low + 1e-6), count)
