"""Simulate observations: parameters, a stellar grid and the calculator's terms in, spectra out.

Pure: the same input gives the same bits, whatever else is simulated in the same call.
"""

from typing import Literal, cast

import numpy as np
import xarray as xr

from simlib.arguments import require_dataset
from simlib.bounds import Bound, refuse_out_of_bounds
from simlib.config import LARGEST_REDSHIFT, SimulationConfig
from simlib.errors import InputError, require_kind
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import Instrument
from simlib.noise import exposure_counts, flux_variance, median_signal_to_noise
from simlib.parameters import AXES
from simlib.simulation import reference
from simlib.simulation.compiled import batch
from simlib.simulation.compiled.batch import Spectra
from simlib.simulation.compiled.setup_cache import templates_for
from simlib.simulation.line_spread import LineSpread, line_spread_of
from simlib.units import FLUX_UNIT_NAME

Path = Literal["compiled", "reference"]
PATHS = ("compiled", "reference")

_ROWS_AT_ONCE = 4096
_ROWS_WITH_TERMS = 128  # where every row's terms are held, a dozen arrays of rows x pixels


def simulate(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig | None = None,
    path: Path = "compiled",
) -> xr.Dataset:
    """Return normalised flux, variance, flux scale and S/N of each row of the parameter table.

    parameters: dim `spectrum`, as from `draw_parameters`. grid: a stellar grid. terms: the stored
    grid of terms, which is interpolated, or an instrument, for which they are computed directly.
    config: its sections stellar, noise, normalize, conditions count; None: the defaults.
    path: "compiled", or "reference", the paper's order in float64, thousands of times slower.

    Returns dims `spectrum`, `wavelength` (nm, vacuum) with `flux`, `variance` (float32 where
    compiled), `flux_scale`, `snr` and the parameters beside them. Raises InputError for what
    cannot be simulated.
    """
    check_path(path)
    settings = config if config is not None else SimulationConfig()
    _require_kinds(parameters, grid, terms, settings)
    is_lean = path == "compiled" and isinstance(terms, xr.Dataset)
    step = _ROWS_AT_ONCE if is_lean else _ROWS_WITH_TERMS
    parts = [
        _PATHS[path](parameters.isel(spectrum=slice(start, start + step)), grid, terms, settings)
        for start in range(0, parameters.sizes["spectrum"], step)
    ]
    wavelength = terms.wavelength if isinstance(terms, Instrument) else terms["wavelength"].values
    return label(parameters, wavelength, _joined(parts, len(wavelength)))


def _require_kinds(parameters: object, grid: object, terms: object, config: object) -> None:
    """Raise InputError for what is not what `simulate` takes."""
    of_star = ("spectrum", *AXES, "redshift", "ebv", "magnitude")
    require_dataset("parameters", parameters, of_star, "a table as `draw_parameters` returns it")
    require_dataset("grid", grid, (*AXES, "flux_normalized"), "what `open_grid` returns")
    made = "what `load_instrument` returns, or a stored grid of terms"
    require_kind("terms", terms, (xr.Dataset, Instrument), made)
    require_kind("config", config, SimulationConfig, "what `load_config` returns")


def check_path(name: str) -> Path:
    """Return the name of a path of the simulation; InputError where there is none."""
    if name not in PATHS:
        raise InputError(f"unknown path {name!r} of the simulation; known: {', '.join(PATHS)}")
    return cast(Path, name)


def _joined(parts: list[Spectra], pixels: int) -> Spectra:
    """Return parts one after the other; no rows at all where there are none."""
    if not parts:
        none = np.empty((0, pixels), dtype=np.float32)
        return Spectra(none, none, np.empty(0), np.empty(0))
    if len(parts) == 1:
        return parts[0]
    names = vars(parts[0])
    return Spectra(*(np.concatenate([getattr(part, n) for part in parts]) for n in names))


def _compiled(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig,
) -> Spectra:
    if isinstance(terms, xr.Dataset):
        spread = line_spread_of(terms, float(grid.attrs["resolution"]))
    else:
        at_rows = terms_at(parameters, terms, config)
        spread = line_spread_of(at_rows, float(grid.attrs["resolution"]))
    flux, scale = _observe(parameters, grid, spread, config)
    if isinstance(terms, xr.Dataset):
        count = config.conditions.exposure_count
        variance, snr = batch.add_noise(flux, scale, parameters, terms, config.noise, count)
        return Spectra(flux, variance, scale, snr)
    return with_noise(flux, scale, parameters, at_rows, config)


def _observe(
    parameters: xr.Dataset, grid: xr.Dataset, spread: LineSpread, config: SimulationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Observe each row with the templates of the redshifts among which its own lies.

    These are the config's range, what is below it and what is above: which it is, and so the bits
    of a row, does not depend on the rows beside it.
    """
    redshift, (low, high) = parameters["redshift"].values, config.stellar.redshift
    refuse_out_of_bounds("redshift", redshift, Bound(-LARGEST_REDSHIFT, LARGEST_REDSHIFT))
    ranges = ((-LARGEST_REDSHIFT, low), (low, high), (high, LARGEST_REDSHIFT))
    number = np.where(redshift < low, 0, np.where(redshift > high, 2, 1))
    seen = []
    for kind in np.unique(number):
        stellar = config.stellar.model_copy(update={"redshift": ranges[kind]})
        rows = parameters.isel(spectrum=np.flatnonzero(number == kind))
        templates = templates_for(grid, spread, stellar)
        seen.append(batch.observe(rows, grid, templates, config.normalize))
    if len(seen) == 1:
        return seen[0]
    place = np.argsort(np.argsort(number, kind="stable"))  # of each row among those seen
    flux, scale = (np.concatenate(parts)[place] for parts in zip(*seen, strict=True))
    return flux, scale


def _reference(
    parameters: xr.Dataset,
    grid: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig,
) -> Spectra:
    at_rows = terms_at(parameters, terms, config)
    spread = line_spread_of(at_rows, float(grid.attrs["resolution"]))
    stars = (parameters.isel(spectrum=i) for i in range(parameters.sizes["spectrum"]))
    stellar = config.stellar
    physical = np.stack(
        [reference.observe(star, grid, spread, stellar.band, stellar.r_v) for star in stars]
    )
    first, stop = batch.window_pixels(spread.wavelength, config.normalize)
    scale = np.median(physical[:, first:stop], axis=1) / config.normalize.median
    return with_noise(physical / scale[:, np.newaxis], scale, parameters, at_rows, config)


_PATHS = {"compiled": _compiled, "reference": _reference}


def with_noise(
    flux: np.ndarray,
    scale: np.ndarray,
    parameters: xr.Dataset,
    terms: xr.Dataset,
    config: SimulationConfig,
) -> Spectra:
    """Return normalised flux with its variance and S/N, formed in float64 from the rows' terms."""
    per_row = scale[:, np.newaxis]
    counts = exposure_counts(parameters, config.conditions.exposure_count)
    variance = flux_variance(flux * per_row, terms, config.noise, counts) / per_row**2
    snr = median_signal_to_noise(flux, variance)
    return Spectra(flux, variance.astype(flux.dtype), scale, snr)


def stacked_variance(
    spectra: xr.Dataset,
    terms: xr.Dataset | Instrument,
    config: SimulationConfig,
    counts: np.ndarray,
) -> np.ndarray:
    """Return the variance (spectrum, wavelength) of spectra, were they stacks of other exposures.

    spectra: as `simulate` returns them. counts: exposures of each, (spectrum,). float32.
    """
    flux, scale = spectra["flux"].values, spectra["flux_scale"].values.astype(float)
    rows = spectra.drop_dims("wavelength").assign(exposure_count=("spectrum", counts))
    if isinstance(terms, xr.Dataset):
        usual = config.conditions.exposure_count
        return batch.add_noise(flux, scale, rows, terms, config.noise, usual)[0]
    parts = [slice(n, n + _ROWS_WITH_TERMS) for n in range(0, len(flux), _ROWS_WITH_TERMS)]
    found = [np.empty_like(flux[:0])]
    for some in parts:
        here = rows.isel(spectrum=some)
        at_rows = terms_at(here, terms, config)
        found.append(with_noise(flux[some], scale[some], here, at_rows, config).variance)
    return np.concatenate(found)


def terms_at(
    conditions: xr.Dataset, terms: xr.Dataset | Instrument, config: SimulationConfig
) -> xr.Dataset:
    """Return the calculator's terms at each row, interpolated from a grid or computed directly."""
    # The source is behind the dust already: the terms are those of a clear line of sight.
    clear = conditions.drop_vars("ebv", errors="ignore")
    if isinstance(terms, xr.Dataset):
        return interpolate_terms(terms, clear)
    return run_etc(
        clear,
        terms,
        load_sky(config.sky),
        exposure_time_s=config.conditions.exposure_time_s,
        convention=config.terms.convention,
        quadrature=config.terms.quadrature,
        lsf=config.instrument.lsf,
    )


def label(parameters: xr.Dataset, wavelength: np.ndarray, simulated: Spectra) -> xr.Dataset:
    """Return the spectra as a Dataset with units, the parameters beside them."""
    spectra = parameters.assign(
        flux=(("spectrum", "wavelength"), simulated.flux, {
            "units": "1", "long_name": "noiseless flux, normalised; times flux_scale is physical"}),
        variance=(("spectrum", "wavelength"), simulated.variance, {
            "units": "1", "long_name": "variance of one pixel of flux, all exposures stacked"}),
        flux_scale=("spectrum", simulated.flux_scale, {"units": FLUX_UNIT_NAME}),
        snr=("spectrum", simulated.snr, {
            "units": "1", "long_name": "median over pixels of flux / sqrt(variance)"}),
    )  # fmt: skip
    attrs = {"units": "nm", "medium": "vacuum", "long_name": "pixel centre"}
    return spectra.assign_coords(wavelength=("wavelength", wavelength, attrs))
