"""A figure of every step of one simulated row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simlib.artifact import publishing
from simlib.dataset.replay import COUNTS
from simlib.dataset_file import write_dataset
from simlib.figure_file import save_figure
from simlib.location import Location

_CLOSE_UP_NM = 3.0  # width of the piece that is shown in detail
_PER_ANGSTROM = r"erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$"
_TERMS = dict(
    zip(COUNTS, ("star", "sky continuum", "sky lines", "moonlight", "stray light", "dark current"),
        strict=True)
)  # fmt: skip
_COLOURS = ("#0b63b0", "#5b8c5a", "#c98a2b", "#7a5ea8", "#9aa3ad", "#22282e")
_INK, _BEFORE, _AFTER, _PALE = "#22282e", "#9aa3ad", "#0b63b0", "#a9c7e4"
_LEAST_ELECTRONS = 0.1  # shown: less matters to no pixel


def save_replay(steps: xr.Dataset, folder: Path) -> list[Path]:
    """Write the steps that `replay` returns (.nc) and their figure (.png); return the files."""
    name = f"{steps.attrs['split']}-{steps.attrs['index']:08d}"
    numbers, figure = folder / f"{name}.nc", folder / f"{name}.png"
    with publishing(Location.of(numbers), replace=True) as beside:
        write_dataset(steps, beside.path, ".nc")
    return [numbers, save_figure(draw_replay(steps), figure)]


def draw_replay(steps: xr.Dataset) -> Figure:
    """Draw the steps that `replay` returns, one row of panels each: the arm, and a close-up."""
    figure = Figure(figsize=(12.0, 15.0), layout="constrained")
    panels = figure.subplots(6, 2, width_ratios=(1.7, 1.0))
    pixels = steps["wavelength"].values
    half = 0.5 * _CLOSE_UP_NM
    deepest = float(pixels[np.argmin(steps["flux"].values)])
    middle = float(np.clip(deepest, pixels[0] + half, pixels[-1] - half))
    for column, limits in enumerate(((pixels[0], pixels[-1]), (middle - half, middle + half))):
        is_close = column == 1
        _template(panels[0, column], steps, limits)
        _physical(panels[1, column], steps, limits)
        _sampled(panels[2, column], steps, limits, is_close)
        _electrons(panels[3, column], steps, limits)
        _variance(panels[4, column], steps, limits)
        _result(panels[5, column], steps, limits)
    for axes in panels.flat:
        axes.tick_params(labelsize=8)
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.grid(color="#e8ebee", lw=0.6)
        axes.set_axisbelow(True)
    for axes in panels[:, 0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=6, fontsize=7.5,
                    frameon=False, borderaxespad=0.1, handlelength=1.2, columnspacing=1.0,
                    markerscale=4.0)  # fmt: skip
    for axes in panels[:, 1]:
        axes.set_title(f"close-up of {_CLOSE_UP_NM:g} nm", loc="right", fontsize=8)
    figure.suptitle("\n".join(_headings(steps)), fontsize=10)
    return figure


def _headings(steps: xr.Dataset) -> tuple[str, str]:
    of = {str(name): float(value) for name, value in steps.data_vars.items() if not value.dims}
    star = (
        f"{steps.attrs.get('split', '')} {steps.attrs.get('index', '')}:  "
        f"Teff {of['teff']:.0f} K,  log g {of['logg']:.2f},  [Fe/H] {of['feh']:.2f},  "
        f"[α/M] {of['alpha']:.2f},  z {of['redshift']:.5f},  E(B-V) {of['ebv']:.3f},  "
        f"{of['magnitude']:.2f} mag"
    )
    conditions = (
        f"{of['exposure_count']:.0f} exposures of {of['exposure_time_s']:g} s,  "
        f"seeing {of['seeing']:.2f}″,  zenith angle {of['zenith_angle']:.1f}°,  "
        f"field angle {of['field_angle']:.2f}°,  moon {of['moon_zenith_angle']:.0f}° from the "
        f"zenith, {of['moon_target_angle']:.0f}° from the star, phase {of['moon_phase']:.2f}:  "
        f"S/N {of['snr']:.1f}"
    )
    return star, conditions


def _template(axes: Axes, steps: xr.Dataset, limits: Sequence[float]) -> None:
    exponent = int(np.floor(np.log10(np.nanmax(steps["template"].values))))
    flux = steps["template"].values / 10.0**exponent
    stretch = 1.0 + float(steps["redshift"])
    rest = limits[0] / stretch, limits[1] / stretch
    axes.plot(steps["wavelength_rest"], flux, lw=0.5, color=_INK, label="at the star's surface")
    _frame(axes, "1  template", rf"$F_\lambda$ [$10^{{{exponent}}}$ {_PER_ANGSTROM}]", rest)
    axes.set_xlabel("rest wavelength, vacuum [nm]", fontsize=8)
    _fit(axes, steps["wavelength_rest"].values, flux)


def _physical(axes: Axes, steps: xr.Dataset, limits: Sequence[float]) -> None:
    wavelength = steps["wavelength_observed"].values
    axes.plot(wavelength, steps["shifted"], lw=0.5, color=_BEFORE,
              label="shifted, scaled to the magnitude")  # fmt: skip
    axes.plot(wavelength, steps["reddened"], lw=0.5, color=_AFTER, label="reddened")
    _frame(axes, "2  Doppler shift, dust", _flux_label(), limits)
    _fit(axes, wavelength, steps["shifted"].values, steps["reddened"].values)


def _sampled(axes: Axes, steps: xr.Dataset, limits: Sequence[float], is_close: bool) -> None:
    wavelength = steps["wavelength_observed"].values
    axes.plot(wavelength, steps["reddened"], lw=0.5, color=_PALE, label="reddened")
    axes.plot(wavelength, steps["convolved"], lw=0.8, color=_INK,
              label="convolved")  # fmt: skip
    axes.plot(steps["wavelength"], steps["sampled"], ".", ms=5 if is_close else 1, mew=0.0,
              color="#c2410c", label="sampled")  # fmt: skip
    _frame(axes, "3  line spread, pixels", _flux_label(), limits)
    _fit(axes, wavelength, steps["reddened"].values)


def _electrons(axes: Axes, steps: xr.Dataset, limits: Sequence[float]) -> None:
    for (name, label), colour in zip(_TERMS.items(), _COLOURS, strict=True):
        is_behind = name == "sky_lines_e"  # a forest that would hide the rest
        axes.semilogy(steps["wavelength"], np.maximum(steps[name], 1e-9), color=colour, label=label,
                      lw=0.5 if is_behind else 1.0, zorder=2.0 if is_behind else 2.5)  # fmt: skip
    _frame(axes, "4  counts", "electrons per pixel\nand exposure", limits)
    axes.set_ylim(bottom=_LEAST_ELECTRONS)


def _variance(axes: Axes, steps: xr.Dataset, limits: Sequence[float]) -> None:
    axes.semilogy(steps["wavelength"], steps["variance_physical"], lw=0.7, color=_INK,
                  label="of one pixel, all exposures stacked")  # fmt: skip
    _frame(axes, "5  variance", rf"variance [($10^{{-17}}$ {_PER_ANGSTROM})$^2$]", limits)
    scale = float(steps["flux_scale"]) ** 2
    both = (lambda v: np.divide(v, scale), lambda v: np.multiply(v, scale))
    right = axes.secondary_yaxis("right", functions=both)
    right.set_ylabel("normalised", fontsize=8)
    right.tick_params(labelsize=8)


def _result(axes: Axes, steps: xr.Dataset, limits: Sequence[float]) -> None:
    wavelength, flux = steps["wavelength"].values, steps["flux"].values
    sigma = np.sqrt(steps["variance"].values)
    axes.fill_between(wavelength, flux - sigma, flux + sigma, color=_PALE, lw=0.0,
                      label="± one standard deviation")  # fmt: skip
    axes.plot(wavelength, flux, lw=0.7, color=_AFTER, label="noiseless")
    _frame(axes, "6  as stored: flux and variance", "normalised flux", limits)
    axes.set_xlabel("observed wavelength, vacuum [nm]", fontsize=8)
    inside = (wavelength >= limits[0]) & (wavelength <= limits[1])
    room = 3.0 * float(np.median(sigma[inside]))  # bright sky lines may leave it
    axes.set_ylim(min(0.0, flux[inside].min()), flux[inside].max() + room)


def _frame(axes: Axes, title: str, unit: str, limits: Sequence[float]) -> None:
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axes.set_ylabel(unit, fontsize=8)
    axes.set_xlim(limits[0], limits[1])


def _fit(axes: Axes, wavelength: np.ndarray, *curves: np.ndarray) -> None:
    """Let the vertical axis hold the curves from zero on, where they are within the limits."""
    low, high = axes.get_xlim()
    inside = (wavelength >= low) & (wavelength <= high)
    axes.set_ylim(0.0, 1.05 * max(float(np.nanmax(curve[inside])) for curve in curves))


def _flux_label() -> str:
    return rf"$F_\lambda$ [$10^{{-17}}$ {_PER_ANGSTROM}]"
