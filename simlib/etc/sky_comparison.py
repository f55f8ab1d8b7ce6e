"""How far the embedded sky is from one given as tables: lines, absorption, total variance.

Nothing here feeds the calculator; it is how one judges its sky.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from simlib.config import Sky
from simlib.etc.optics import lsf
from simlib.etc.shipped_tables import embedded
from simlib.etc.sky import oh, telluric
from simlib.etc.sky.model import FINE_STEP_NM, SPAN_NM, SkyModel, load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import Instrument, load_instrument
from simlib.noise import stack_variance
from simlib.units import SPEED_OF_LIGHT_M_S, ab_flux

INSTRUMENT = "pfs-redmr-2016-02-29"
OXYGEN_A_NM = (758.0, 772.0)
TABLE_BLUR_M_S = 25e3  # rms width to which published atlases of absorption are smoothed
BLEND_NM = 0.08  # two emission lines nearer than this are one: two pixels
MATCH_NM = 0.08
LIST_STEP_NM = 0.01  # to which the published list rounds its wavelengths
BRIGHT = 0.02  # of its band: a blend that faint is not compared
SOURCE_MAGNITUDE = 20.0
CONDITION = {
    "seeing": 0.8,
    "zenith_angle": 30.0,
    "field_angle": 0.3,
    "moon_zenith_angle": 45.0,
    "moon_target_angle": 90.0,
    "moon_phase": 0.0,
}
BARS = {
    "largest_band_deviation_dex": 0.1,
    "median_position_error_pixels": 0.1,
    "rms_transmission": 0.015,
    "median_variance_ratio": 0.1,
}


@dataclass(frozen=True)
class Band:
    """Flux of a band's blends that both skies have; dex after one factor for all bands."""

    band: str
    blends: int
    embedded: float  # photon s-1 m-2 arcsec-2
    tables: float
    dex: float = 0.0


@dataclass(frozen=True, eq=False)
class SkyComparison:
    """The numbers that are judged, and the curves behind them over the arm's pixels."""

    numbers: dict[str, float]
    bands: tuple[Band, ...]
    wavelength: np.ndarray
    curves: dict[str, np.ndarray] = field(default_factory=dict)

    def record(self) -> dict[str, object]:
        """Return plain data for `--json`."""
        return self.numbers | {"bands": [asdict(band) for band in self.bands], "bars": BARS}

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield (quantity, found, bar) for a table."""
        for band in self.bands:
            yield f"OH {band.band}, {band.blends} blends", f"{band.dex:+.3f} dex", "0.1"
        names = {
            "global_scale": "tables / embedded, OH flux",
            "blends": "blends in both",
            "median_position_error_pixels": "line position, median error, pixels",
            "rms_position_error_pixels": "line position, rms error, pixels",
            "share_of_positions_within_bar": "… share within the bar and the tables' rounding",
            "water_mm": "water that fits the tables, mm",
            "rms_transmission": "line transmission, rms outside O2 A",
            "median_variance_ratio": "variance with a flat AB 20 source, median ratio - 1",
        }
        for key, name in names.items():
            yield name, f"{self.numbers[key]:.4g}", f"{BARS[key]:g}" if key in BARS else ""


def compare_skies(config: Sky, folder: str) -> SkyComparison:
    """Return the comparison of the embedded sky of `config` with the tables of a folder."""
    ours, tables = load_sky(config), load_sky(Sky(tables=folder))
    instrument = load_instrument(INSTRUMENT)
    bands, lines = _compare_lines(instrument, tables)
    water, rms, absorption = _compare_absorption(instrument, tables)
    ratio, counts = _compare_variance(instrument, ours, tables)
    numbers = lines | {
        "water_mm": water,
        "rms_transmission": rms,
        "median_variance_ratio": float(np.median(ratio)) - 1.0,
    }
    curves = absorption | counts | {"ratio": ratio}
    return SkyComparison(numbers, bands, instrument.wavelength, curves)


def _compare_lines(
    instrument: Instrument, tables: SkyModel
) -> tuple[tuple[Band, ...], dict[str, float]]:
    """Compare bright, isolated blends of computed OH lines with the listed lines beside them."""
    blends = {name: _blends(*lines) for name, lines in _bands(instrument).items()}
    everything = np.concatenate([place for place, _ in blends.values()])
    bands, errors = [], []
    for name, (places, fluxes) in blends.items():
        pairs = []
        for place, flux in zip(places, fluxes, strict=True):
            is_alone = np.sum(np.abs(everything - place) < 2.0 * MATCH_NM) == 1
            near = np.abs(tables.line_wavelength_nm - place) < MATCH_NM
            listed = tables.line_rate[near]
            if flux > BRIGHT * fluxes.sum() and is_alone and listed.sum() > 0:
                centre = np.average(tables.line_wavelength_nm[near], weights=listed)
                errors.append(float(centre - place) / instrument.pixel_nm)
                pairs.append((float(flux), float(listed.sum())))
        if pairs:
            bands.append(
                Band(name, len(pairs), *(sum(column) for column in zip(*pairs, strict=True)))
            )
    scale = sum(band.tables for band in bands) / sum(band.embedded for band in bands)
    judged = tuple(
        replace(band, dex=float(np.log10(band.tables / band.embedded / scale))) for band in bands
    )
    off = np.abs(errors)
    allowed = BARS["median_position_error_pixels"] + 0.5 * LIST_STEP_NM / instrument.pixel_nm
    return judged, {
        "global_scale": scale,
        "blends": float(off.size),
        "largest_band_deviation_dex": max(abs(band.dex) for band in judged),
        "median_position_error_pixels": float(np.median(off)),
        "rms_position_error_pixels": float(np.sqrt(np.mean(off**2))),
        "share_of_positions_within_bar": float(np.mean(off <= allowed)),
    }


def _bands(instrument: Instrument) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return OH lines on the detector by band."""
    table = embedded("oh_bands.csv", "v_upper", "v_lower", "photon_rate")
    low, high = instrument.wavelength_min_nm, instrument.wavelength_max_nm
    bands = {}
    for up, down, rate in zip(*table.columns.values(), strict=True):
        wavelength, strength = oh.band_lines(int(up), int(down))
        on = (wavelength > low) & (wavelength < high)
        if strength[on].sum() > 0.1:
            bands[f"{up:.0f}-{down:.0f}"] = (wavelength[on], rate * strength[on])
    return bands


def _blends(wavelength: np.ndarray, flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join lines nearer than `BLEND_NM`: centre and flux of each blend."""
    real = flux > 1e-3 * flux.max()
    order = np.argsort(wavelength[real])
    wavelength, flux = wavelength[real][order], flux[real][order]
    label = np.concatenate([[0], np.cumsum(np.diff(wavelength) > BLEND_NM)])
    total = np.bincount(label, flux)
    return np.bincount(label, flux * wavelength) / total, total


def _compare_absorption(
    instrument: Instrument, tables: SkyModel
) -> tuple[float, float, dict[str, np.ndarray]]:
    """Fit the water, then compare line transmission at the instrument's resolution.

    Ours is smoothed beforehand to the resolution of the tables.
    """
    fine = np.arange(SPAN_NM[0], SPAN_NM[1], FINE_STEP_NM)
    theirs = np.interp(fine, tables.telluric_wavelength_nm, tables.telluric_transmission)
    theirs = _at_pixels(instrument, fine, theirs, 0.0)
    dry = telluric.optical_depth(fine, 0.0)
    wet = telluric.optical_depth(fine, 1.0) - dry
    outside = (instrument.wavelength < OXYGEN_A_NM[0]) | (instrument.wavelength > OXYGEN_A_NM[1])

    def ours(water_mm: float) -> np.ndarray:
        return _at_pixels(instrument, fine, np.exp(-dry - water_mm * wet), TABLE_BLUR_M_S)

    def distance(water_mm: float) -> float:
        return float(np.mean((ours(water_mm) - theirs)[outside] ** 2))

    found = minimize_scalar(distance, bounds=(0.0, 20.0), method="bounded", options={"xatol": 0.01})
    water = float(found.x)
    curves = {"transmission": ours(water), "transmission_tables": theirs}
    return water, float(np.sqrt(distance(water))), curves


def _at_pixels(
    instrument: Instrument, fine: np.ndarray, curve: np.ndarray, blur_m_s: float
) -> np.ndarray:
    """Smooth a curve with the fitted Gaussian LSF (and a blur in velocity), at pixel centres."""
    middle = 0.5 * (fine[0] + fine[-1])
    width = float(lsf.lsf_sigma(instrument, np.array(middle)))
    sigma = np.hypot(width, middle * blur_m_s / SPEED_OF_LIGHT_M_S) / FINE_STEP_NM
    reach = int(5 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    spectrum = np.fft.rfft(curve - 1.0, 2 * curve.size)
    smooth = np.fft.irfft(spectrum * np.fft.rfft(kernel / kernel.sum(), 2 * curve.size))
    return np.asarray(1.0 + np.interp(instrument.wavelength, fine, smooth[reach:][: fine.size]))


def _compare_variance(
    instrument: Instrument, ours: SkyModel, tables: SkyModel
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    condition = xr.Dataset({name: ("condition", [value]) for name, value in CONDITION.items()})
    flux = xr.DataArray(ab_flux(SOURCE_MAGNITUDE, instrument.wavelength), dims="wavelength")
    totals, counts = [], {}
    for name, sky in (("", ours), ("_tables", tables)):
        terms = run_etc(condition, instrument, sky)
        totals.append(stack_variance(terms, terms["conversion_e"] * flux).values.ravel())
        counts[f"sky{name}"] = (terms["sky_continuum_e"] + terms["sky_lines_e"]).values.ravel()
    return totals[0] / totals[1], counts


def draw_comparison(comparison: SkyComparison) -> Figure:
    """Draw sky counts, line transmission and the ratio of variances, ours and the tables'."""
    figure = Figure(figsize=(9.0, 8.0), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    wavelength, curves = comparison.wavelength, comparison.curves
    top.semilogy(wavelength, curves["sky_tables"], label="tables", color="tab:orange", lw=0.8)
    top.semilogy(wavelength, curves["sky"], label="embedded", color="tab:blue", lw=0.6)
    top.set_ylabel("sky continuum and lines\n[electron per pixel, 900 s]")
    top.legend(fontsize=8)
    middle.plot(wavelength, curves["transmission_tables"], color="tab:orange", lw=0.8)
    middle.plot(wavelength, curves["transmission"], color="tab:blue", lw=0.6)
    middle.set_ylabel("line transmission at the LSF")
    middle.set_title(
        f"water {comparison.numbers['water_mm']:.2f} mm fitted; rms outside O2 A "
        f"{100 * comparison.numbers['rms_transmission']:.2f} %",
        fontsize=9,
    )
    bottom.plot(wavelength, curves["ratio"], color="black", lw=0.5)
    bottom.axhline(1.0 + comparison.numbers["median_variance_ratio"], color="tab:red")
    bottom.set_ylim(0.3, 2.0)
    bottom.set_ylabel("variance, embedded / tables\n(flat AB 20 source)")
    bottom.set_xlabel("wavelength [nm, vacuum]")
    bottom.set_xlim(float(wavelength[0]), float(wavelength[-1]))
    return figure
