"""Simulate observations: parameters, a stellar grid and the calculator's terms in, spectra out.

Pure: the same input gives the same bits, whatever else is simulated in the same call.
"""

from typing import Literal

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.etc.grid import interpolate_terms
from simlib.etc.sky import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import Instrument
from simlib.simulation import noise, reference, vectorised
from simlib.simulation.line_spread import LineSpread
from simlib.simulation.prepare import templates_for
from simlib.units import FLUX_UNIT_NAME

Path = Literal["vectorised", "reference"]

_ROWS_AT_ONCE = 128  # of the terms, which are a dozen arrays of rows x pixels


def simulate(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig | None = None,
    path: Path = "vectorised",
) -> xr.Dataset:
    """Return normalised flux, variance, flux scale and S/N of each row of the parameter table.

    parameters: dim `spectrum`, as from `draw_parameters`. grid: a stellar grid. terms: the stored
    grid of terms, which is interpolated, or an instrument, for which they are computed directly.
    config: its sections stellar, noise, normalize, conditions count; None: the defaults.

    Returns dims `spectrum`, `wavelength` (nm, vacuum) with `flux`, `variance`, `flux_scale`, `snr`
    in float64 and the parameters beside them. Raises InputError for what cannot be simulated.
    """
    settings = config if config is not None else SimulationConfig()
    parts = []
    for start in range(0, parameters.sizes["spectrum"], _ROWS_AT_ONCE):
        rows = parameters.isel(spectrum=slice(start, start + _ROWS_AT_ONCE))
        parts.append(_simulate_rows(rows, grid, terms_at(rows, terms, settings), settings, path))
    return parts[0] if len(parts) == 1 else xr.concat(parts, dim="spectrum", data_vars="minimal")


def terms_at(
    conditions: xr.Dataset, terms: xr.Dataset | Instrument, config: SimulationConfig
) -> xr.Dataset:
    """Return the calculator's terms at each row, interpolated from a grid or computed directly."""
    if isinstance(terms, xr.Dataset):
        return interpolate_terms(terms, conditions)
    return run_etc(
        conditions,
        terms,
        load_sky(config.sky),
        exposure_time_s=config.conditions.exposure_time_s,
        convention=config.terms.convention,
        quadrature=config.terms.quadrature,
        lsf=config.instrument.lsf,
    )


def _simulate_rows(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset,
    config: SimulationConfig,
    path: Path,
) -> xr.Dataset:
    spread = LineSpread(
        terms["wavelength"].values, terms["lsf_sigma"].values, float(grid.attrs["resolution"])
    )
    flux = _PATHS[path](parameters, grid, spread, config)
    variance = noise.stack_variance(flux, terms, config.noise, config.conditions.exposure_count)
    scale = flux_scale(flux, spread.wavelength, config)
    snr = noise.signal_to_noise(flux, variance)
    per_row = scale[:, np.newaxis]
    return label(parameters, spread.wavelength, flux / per_row, variance / per_row**2, scale, snr)


def _reference(
    parameters: xr.Dataset, grid: xr.Dataset, spread: LineSpread, config: SimulationConfig
) -> np.ndarray:
    stars = (parameters.isel(spectrum=i) for i in range(parameters.sizes["spectrum"]))
    stellar = config.stellar
    return np.stack(
        [reference.observe(star, grid, spread, stellar.band, stellar.r_v) for star in stars]
    )


def _vectorised(
    parameters: xr.Dataset, grid: xr.Dataset, spread: LineSpread, config: SimulationConfig
) -> np.ndarray:
    templates = templates_for(grid, spread, config.stellar)
    return vectorised.observe(parameters, grid, templates)


_PATHS = {"reference": _reference, "vectorised": _vectorised}


def flux_scale(flux: np.ndarray, wavelength: np.ndarray, config: SimulationConfig) -> np.ndarray:
    """Return what the normalised flux is multiplied by to get the flux, (spectra,).

    It puts the median over the window's pixels at `normalize.median`.
    """
    low, high = config.normalize.window_nm
    window = (wavelength >= low) & (wavelength <= high)
    if not window.any():
        raise InputError(
            f"normalize.window_nm = [{low:g}, {high:g}] holds no pixel of the arm "
            f"({wavelength[0]:.1f}-{wavelength[-1]:.1f} nm); widen it"
        )
    return np.asarray(np.median(flux[:, window], axis=1) / config.normalize.median)


def label(
    parameters: xr.Dataset,
    wavelength: np.ndarray,
    flux: np.ndarray,
    variance: np.ndarray,
    scale: np.ndarray,
    snr: np.ndarray,
) -> xr.Dataset:
    """Return the spectra as a Dataset with units, the parameters beside them."""
    spectra = parameters.assign(
        flux=(("spectrum", "wavelength"), flux, {
            "units": "1", "long_name": "noiseless flux, normalised; times flux_scale is physical"}),
        variance=(("spectrum", "wavelength"), variance, {
            "units": "1", "long_name": "variance of one pixel of flux, all exposures stacked"}),
        flux_scale=("spectrum", scale, {"units": FLUX_UNIT_NAME}),
        snr=("spectrum", snr, {
            "units": "1", "long_name": "median over pixels of flux / sqrt(variance)"}),
    )  # fmt: skip
    attrs = {"units": "nm", "medium": "vacuum", "long_name": "pixel centre"}
    return spectra.assign_coords(wavelength=("wavelength", wavelength, attrs))
