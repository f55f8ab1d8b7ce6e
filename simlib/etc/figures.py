"""Figures of the calculator: the noise budget of a condition, the LSF, the transmissions."""

from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simlib.figure_file import save_figure
from simlib.units import FWHM_PER_SIGMA

BUDGET = (  # term, label, colour; from the quietest up
    ("dark_e", "dark current", "#7f7f7f"),
    ("read_variance_e2", "read-out", "#9edae5"),
    ("stray_e", "stray light", "#c49c94"),
    ("moon_e", "moonlight", "#dbdb8d"),
    ("sky_continuum_e", "sky continuum", "#1f77b4"),
    ("sky_lines_e", "sky lines", "#ff7f0e"),
    ("sky_subtraction_variance_e2", "sky subtraction", "#d62728"),
)
MOST_CONDITIONS = 20  # of a list, that get figures of their own
BIN_PIXELS = 8  # of the budget, so that areas are seen and not only the lines' peaks


def draw_noise_budget(terms: xr.Dataset, title: str = "") -> Figure:
    """Draw the variance of one exposure of one condition, term upon term, against wavelength.

    terms: of one condition (no row dimension). The target's own photons are not in.
    """
    figure, axes = _one_panel()
    wavelength = _binned(terms["wavelength"].values)
    size = terms.sizes["wavelength"]
    heights = [_binned(np.broadcast_to(terms[name].values, (size,))) for name, _, _ in BUDGET]
    axes.stackplot(
        wavelength,
        *heights,
        labels=[label for _, label, _ in BUDGET],
        colors=[colour for _, _, colour in BUDGET],
        linewidth=0,
    )
    total = np.sum(heights, axis=0)
    axes.set_ylim(0.0, 2.5 * float(np.percentile(total, 75)))
    _label_wavelength(axes, wavelength)
    axes.set_ylabel("variance per pixel, one exposure [electron²]")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", ncols=2, fontsize=8, framealpha=1.0)
    median = float(np.median(total))
    axes.set_title(f"{title}  (median {median:.0f} e², lines cut at the top)".strip(), fontsize=9)
    return figure


def draw_lsf(terms: xr.Dataset) -> Figure:
    """Draw the line spread function at some wavelengths, and its fitted sigma over wavelength."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = matplotlib.colormaps["viridis"]
    places = terms["wavelength_lsf"].values[:: max(1, terms.sizes["wavelength_lsf"] // 5)]
    for i, place in enumerate(places):
        shape = terms["lsf_profile"].sel(wavelength_lsf=place)
        left.semilogy(
            terms["offset"], shape, color=colours(i / max(1, len(places) - 1)), label=f"{place:.0f}"
        )
    left.set_xlim(-12.0, 12.0)
    left.set_ylim(1e-5, 0.5)
    left.set_xlabel("distance from the line [pixel]")
    left.set_ylabel("share of the line in a pixel")
    left.legend(title="wavelength [nm]", fontsize=7, title_fontsize=8)
    wavelength, sigma = terms["wavelength"].values, terms["lsf_sigma"].values
    right.plot(wavelength, 10.0 * sigma, color="black")
    right.set_xlabel("wavelength [nm, vacuum]")
    right.set_ylabel("fitted Gaussian sigma [Å]")
    twin = right.twinx()
    twin.plot(wavelength, wavelength / (FWHM_PER_SIGMA * sigma), color="tab:red", linestyle="--")
    twin.set_ylabel("wavelength / (2.355 sigma)", color="tab:red")
    right.set_title("pixel included; fitted within ±5 pixels", fontsize=9)
    return figure


def draw_transmissions(terms: xr.Dataset, title: str = "") -> Figure:
    """Draw the atmosphere, the instrument, the fibre and their product for one condition."""
    figure, axes = _one_panel()
    wavelength = terms["wavelength"].values
    curves = {
        "atmosphere": terms["atmosphere_transmission"],
        "fibre aperture": terms["aperture_fraction"],
        "trace": terms["trace_fraction"],
        "instrument": terms["instrument_throughput"],
    }
    product = np.ones(wavelength.size)
    for label, curve in curves.items():
        axes.plot(wavelength, curve, label=label, linewidth=0.9)
        product = product * curve.values
    axes.plot(wavelength, product, label="all together", color="black", linewidth=1.0)
    axes.set_ylim(0.0, 1.05)
    _label_wavelength(axes, wavelength)
    axes.set_ylabel("transmission")
    axes.legend(loc="center left", fontsize=8, ncols=2, bbox_to_anchor=(0.0, 0.42))
    axes.set_title(title, fontsize=9)
    return figure


def draw_signal_to_noise(snr: xr.DataArray, title: str = "") -> Figure:
    """Draw S/N per pixel of one condition against wavelength."""
    figure, axes = _one_panel()
    axes.plot(snr["wavelength"], snr, linewidth=0.6, color="tab:blue")
    axes.axhline(float(snr.median()), color="black", linewidth=0.8, linestyle="--")
    axes.set_ylim(0.0, None)
    _label_wavelength(axes, snr["wavelength"].values)
    axes.set_ylabel("S/N per pixel, all exposures")
    axes.set_title(f"{title}  (median {float(snr.median()):.2f})".strip(), fontsize=9)
    return figure


def draw_conditions(terms: xr.Dataset, folder: Path) -> list[Path]:
    """Write the figures of the first MOST_CONDITIONS conditions, and that of the LSF, as PNG."""
    paths = [save_figure(draw_lsf(terms), folder / "lsf.png")]
    for row in range(min(terms.sizes["condition"], MOST_CONDITIONS)):
        one = terms.isel(condition=row)
        seeing, zenith, field, phase = (
            float(one[name]) for name in ("seeing", "zenith_angle", "field_angle", "moon_phase")
        )
        title = (
            f"row {row + 1}: seeing {seeing:.2f} arcsec, zenith angle {zenith:.0f}°, "
            f"field angle {field:.2f}°, moon phase {phase:.2f}"
        )
        drawn = {
            "noise-budget": draw_noise_budget(one, title),
            "throughput": draw_transmissions(one, title),
        }
        if "snr" in one:
            drawn["snr"] = draw_signal_to_noise(one["snr"], title)
        paths += [
            save_figure(figure, folder / f"{name}-{row + 1:02d}.png")
            for name, figure in drawn.items()
        ]
    return paths


def _one_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    return figure, figure.subplots()


def _label_wavelength(axes: Axes, wavelength: np.ndarray) -> None:
    axes.set_xlim(float(wavelength[0]), float(wavelength[-1]))
    axes.set_xlabel("wavelength [nm, vacuum]")


def _binned(values: np.ndarray) -> np.ndarray:
    kept = values[: values.size - values.size % BIN_PIXELS]
    return np.asarray(kept.reshape(-1, BIN_PIXELS).mean(axis=1))
