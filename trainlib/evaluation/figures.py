"""The report's figures, each a function of plain arrays and tables that returns a figure.

Figures 1 and 3 to 11 are those of the paper, with its axes. On a page a figure is vector graphics
whose colours follow the page's.
"""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from simlib.artifact import write_bytes
from simlib.location import Location, Place
from trainlib.evaluation.binned import counting
from trainlib.evaluation.metrics import SNR_EDGES

NAMES = {
    "none": "noisy input",
    "smoothing": "Gaussian smoothing",
    "savgol": "Savitzky-Golay filter",
    "pca": "PCA projection",
    "wiener": "Wiener filter",
    "rest": "linear, at rest",
    "template": "best template",
    "fit": "fit of the simulator",
    "dae": "network",
    "polished": "network, polished",
}
STARTS = {
    "cold": "a coarse grid of templates",
    "dae": "the network's answer",
    "truth": "the truth",
}
# Told apart by those who see few colours too: by brightness, and by the marker.
COLOURS = {
    "none": "#7d8791",
    "smoothing": "#b36b00",
    "savgol": "#c44e00",
    "pca": "#00795a",
    "wiener": "#a34f87",
    "rest": "#8a1f3d",
    "template": "#7a5c2e",
    "fit": "#6f4bb8",
    "dae": "#0064ad",
    "polished": "#00788c",
}
_MARKERS = dict(zip(COLOURS, "os<v^PhDX*", strict=True))
CALCIUM_TRIPLET_NM = (850.04, 854.44, 866.45)  # vacuum
TRIPLET_RANGE_NM = (847.5, 869.5)
AXES_SHOWN = {
    "snr": "median S/N per pixel",
    "teff": "Teff (K)",
    "logg": "log g",
    "feh": "[Fe/H]",
    "alpha": "[α/Fe]",
}
_INK, _FAINT, _PAPER = "#22282e", "#d5dade", "#ffffff"
_TRUTH, _MADE, _NOISE, _ALTERED = "#0064ac", "#d55e00", "#9aa3ad", "#008a66"
_MEAN, _MAX = "#2f83c7", "#d5702a"  # of points, which are pixels: fit for both backgrounds
# On a page each of these is a variable of the page's style, so that it follows light and dark.
_VARIABLES = {
    _INK: "ink", _FAINT: "line", _TRUTH: "truth", _MADE: "made", _NOISE: "noise",
    _ALTERED: "altered", **{colour: f"m-{name}" for name, colour in COLOURS.items()},
}  # fmt: skip
_RUN_LINES = ("-", "--", ":", "-.")


def noise_figure(
    wavelength_nm: np.ndarray, target: np.ndarray, noisy: np.ndarray, snr: float
) -> Figure:
    """Draw figure 1: a noiseless spectrum and its noisy counterpart, (pixels,)."""
    figure, (axes,) = _figure(1, 9.0, 3.6)
    angstrom = 10.0 * wavelength_nm
    axes.plot(angstrom, noisy, color=_NOISE, lw=0.5, label="noisy")
    axes.plot(angstrom, target, color=_TRUTH, lw=0.9, label="noiseless")
    _frame(axes, target, 2.0 * float(np.median(np.abs(noisy - target))))
    axes.text(0.01, 0.05, f"S/N = {snr:.1f}", transform=axes.transAxes)
    axes.set_ylabel("normalised flux")
    _end(axes, angstrom)
    return figure


def loss_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw figure 3: training and validation loss of each run, and the learning rate."""
    figure, (axes,) = _figure(1, 9.0, 3.8)
    rates = axes.twinx()
    for (name, log), line in zip(logs.items(), _cycle(len(logs)), strict=True):
        of_run = f", {name}" if len(logs) > 1 else ""
        epochs = [entry["epoch"] for entry in log]
        for key, colour, label in (
            ("loss", _NOISE, "training"), ("validation_loss", _TRUTH, "validation"),
        ):  # fmt: skip
            axes.plot(epochs, [entry[key] for entry in log], line, color=colour,
                      marker=".", label=f"{label}{of_run}")  # fmt: skip
        rates.plot(epochs, [entry["lr"] for entry in log], line, color=_ALTERED, lw=0.9,
                   label=f"learning rate{of_run}")  # fmt: skip
    for one in (axes, rates):
        _logarithmic(one, "y")
    rates.set_ylabel("learning rate", color=_ALTERED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(loc="upper right")
    return figure


def denoised_figure(
    wavelength_nm: np.ndarray,
    curves: Mapping[str, np.ndarray],
    relative: np.ndarray,
    *,
    error: np.ndarray | None = None,
) -> Figure:
    """Draw figures 4, 5, 10 and 11: spectra above, |R| below, and |E| too where it is given.

    curves: `noiseless`, `denoised` and, with lines that no star has, `altered`; (pixels,) each.
    relative: a fraction.
    """
    figure, (above, below) = _figure(2, 9.0, 5.4)
    angstrom = 10.0 * wavelength_nm
    looks = {"altered": (_ALTERED, "-"), "noiseless": (_TRUTH, "-"), "denoised": (_MADE, "--")}
    for name, (colour, line) in looks.items():
        if name in curves:
            label = "with artificial lines" if name == "altered" else name
            above.plot(angstrom, curves[name], line, color=colour, lw=1.0, label=label)
    above.set_ylabel("normalised flux")
    above.legend(loc="lower left", ncols=3)
    below.plot(angstrom, 100.0 * relative, color=_TRUTH, lw=0.7, label="|R| (%)")
    below.set_ylabel("|R| (%)")
    below.set_ylim(bottom=0.0)
    if error is not None:
        other = below.twinx()
        other.plot(angstrom, error, ":", color=_ALTERED, lw=0.9, label="|E|")
        other.set_ylabel("|E|", color=_ALTERED)
        other.set_ylim(bottom=0.0)
    _end(below, angstrom)
    above.sharex(below)
    return figure


def errors_figure(results: xr.Dataset, axis: str) -> Figure:
    """Draw figures 6 to 9: mean and maximum of |E| and |R| of the network along an abscissa."""
    figure, panels = _figure(2, 9.0, 5.4, even=True)
    some = results.isel(spectrum=counting(results, axis)).sel({"method": "dae"})
    for axes, (kind, factor, label) in zip(
        panels, (("error", 1.0, "|E|"), ("relative_error", 100.0, "|R| (%)")), strict=True
    ):
        for part, colour, marker in (("max", _MAX, "x"), ("mean", _MEAN, "o")):
            values = factor * some[f"{part}_abs_{kind}"].values
            axes.plot(some[axis].values, values, marker, ms=2.2, color=colour, alpha=0.55, mew=0.6,
                      rasterized=True, label="maximum" if part == "max" else "mean")  # fmt: skip
        _logarithmic(axes, "y")
        axes.set_ylabel(label)
    panels[1].sharex(panels[0])
    if axis == "snr":
        _logarithmic(panels[0], "x")
    panels[0].tick_params(labelbottom=False)
    panels[0].legend(loc="upper right", ncols=2, markerscale=2.5)
    panels[1].set_xlabel(AXES_SHOWN[axis])
    return figure


def error_figure(
    results: dict[str, xr.Dataset], measure: str = "mean_abs_relative_error"
) -> Figure:
    """Draw the mean of a measure in bins of S/N: all methods of the first run, other networks.

    The information limit of the first is drawn where it is known.
    """
    figure, (axes,) = _figure(1, 6.4, 4.4)
    first = next(iter(results.values()))
    network = 100.0 * first[measure].sel({"method": "dae"}).values
    axes.plot(first["snr"], network, ".", ms=1.5, color=_MEAN, alpha=0.35, zorder=1,
              rasterized=True)  # fmt: skip
    for method in first["method"].values:
        _curve(axes, first, str(method), measure, NAMES[str(method)])
    for (name, run), line in list(zip(results.items(), _cycle(len(results)), strict=True))[1:]:
        snr, mean = binned_means(run, "dae", measure)
        axes.plot(snr, 100.0 * mean, line, marker="s", ms=3, color=COLOURS["dae"], label=name)
    known = first.isel(spectrum=np.isfinite(first["floor"].values))
    if known.sizes["spectrum"]:
        snr, mean = _means(known["snr"].values, known["floor"].values)
        axes.plot(snr, 100.0 * mean, "--", color=_INK, lw=1.2, label="information limit", zorder=4)
    _logarithmic(axes, "x", "y")
    axes.set_xlabel(AXES_SHOWN["snr"])
    axes.set_ylabel("mean |R| (%)")
    axes.legend()
    return figure


def bias_figure(results: xr.Dataset) -> Figure:
    """Draw the mean signed relative error of all methods in bins of S/N."""
    figure, (axes,) = _figure(1, 6.4, 4.4)
    axes.axhline(0.0, color=_INK, lw=0.6)
    for method in results["method"].values:
        _curve(axes, results, str(method), "mean_relative_error", NAMES[str(method)])
    _logarithmic(axes, "x")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(AXES_SHOWN["snr"])
    axes.set_ylabel("mean R (%), signed")
    axes.legend()
    return figure


def gradients_figure(values: Mapping[str, float], paper: tuple[float, float]) -> Figure:
    """Draw mean |gradient| of weights, one after another. paper: the range that it tells of."""
    figure, (axes,) = _figure(1, 9.0, 3.4)
    axes.axhspan(*paper, color=_FAINT, zorder=0, label="the paper's")
    places = range(len(values))
    axes.plot(places, list(values.values()), "o", ms=7, color=_TRUTH, label="ours")
    _logarithmic(axes, "y")
    axes.set_xticks(places, list(values))
    axes.margins(x=0.3, y=0.2)
    for place, value in zip(places, values.values(), strict=True):
        axes.annotate(f"{value:.1e}", (place, value), (9, -3), textcoords="offset points")
    axes.set_ylabel("mean |gradient|")
    axes.legend(loc="best")
    return figure


def _curve(axes: Axes, results: xr.Dataset, method: str, measure: str, label: str) -> None:
    snr, mean = binned_means(results, method, measure)
    axes.plot(snr, 100.0 * mean, "-", marker=_MARKERS[method], ms=4, color=COLOURS[method],
              label=label, zorder=3)  # fmt: skip


def binned_means(results: xr.Dataset, method: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return median S/N and mean measure of the bins that hold spectra so judged."""
    return _means(results["snr"].values, results[measure].sel({"method": method}).values)


def _means(snr: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    judged = np.isfinite(values)  # of some methods, the first spectra only
    inside = [judged & (snr >= a) & (snr < b) for a, b in pairwise(SNR_EDGES)]
    filled = [some for some in inside if some.any()]
    return (
        np.array([np.median(snr[some]) for some in filled]),
        np.array([values[some].mean() for some in filled]),
    )


def _cycle(count: int) -> list[str]:
    return [_RUN_LINES[i % len(_RUN_LINES)] for i in range(count)]


def _logarithmic(axes: Axes, *directions: Literal["x", "y"]) -> None:
    """Make axes logarithmic where anything is drawn that can stand on such; plain numbers."""
    for direction in directions:
        drawn = [np.asarray(getattr(line, f"get_{direction}data")()) for line in axes.lines]
        if any((values > 0.0).any() for values in drawn):
            axes.set(**{f"{direction}scale": "log"})
            axis = getattr(axes, f"{direction}axis")
            low, high = axis.get_view_interval()
            if high < 3.0 * low:  # no decade to mark
                axes.set(**{f"{direction}scale": "linear"})
                continue
            subs = (1.0, 2.0, 5.0) if high < 500.0 * low else (1.0,)
            axis.set_major_locator(LogLocator(subs=subs, numticks=20))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(lambda value, _: f"{value:g}")


def _frame(axes: Axes, target: np.ndarray, beyond: float) -> None:
    low, high = float(target.min()), float(target.max())
    span = max(high - low, 1e-3)
    axes.set_ylim(low - 0.3 * span - beyond, high + 0.3 * span + beyond)
    axes.legend(loc="lower right", ncols=2)


def _end(axes: Axes, angstrom: np.ndarray) -> None:
    axes.set_xlabel("vacuum wavelength (Å)")
    axes.set_xlim(angstrom[0], angstrom[-1])


def _figure(
    panels: int, width: float, height: float, *, even: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), facecolor=_PAPER)
    ratios = [1.0] if panels == 1 else [1.0, 1.0] if even else [2.2, 1.0]
    left, right, bottom, top = 0.75 / width, 1.0 - 0.75 / width, 0.55 / height, 1.0 - 0.12 / height
    grid = figure.add_gridspec(panels, 1, height_ratios=ratios, left=left, right=right,
                               bottom=bottom, top=top, hspace=0.09)  # fmt: skip
    axes = [figure.add_subplot(grid[number]) for number in range(panels)]
    for panel in axes[:-1]:
        panel.tick_params(labelbottom=False)
    return figure, axes


def style(figure: Figure) -> Figure:
    """Give every panel the same quiet look."""
    for axes in figure.axes:
        if axes.yaxis.get_ticks_position() != "right":  # a second ordinate has none of its own
            axes.grid(True, color=_FAINT, lw=0.5)
        axes.set_axisbelow(True)
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_INK)
        axes.tick_params(which="both", color=_INK, labelcolor=_INK)
        for text in (axes.xaxis.label, axes.yaxis.label, *axes.texts):
            if text.get_color() == "black":
                text.set_color(_INK)
        legend = axes.get_legend()
        if legend is not None:
            legend.set_frame_on(False)
            for text in legend.get_texts():
                text.set(fontsize=8, color=_INK)
    return figure


def save_and_embed(figure: Figure, path: Place, told: str) -> str:
    """Write a figure as SVG and return it for a page, whose colours it takes. told: what it is."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "specdenoise"}):
        style(figure).savefig(
            buffer, format="svg", dpi=160, metadata={"Date": None, "Creator": None}
        )
    write_bytes(Location.of(path), buffer.getvalue())
    return _for_page(buffer.getvalue().decode(), told)


def _for_page(drawn: str, told: str) -> str:
    """Return a drawing without its own prologue, size, names of parts and colours."""
    inside = drawn[drawn.index("<svg") :]
    head, _, rest = inside.partition(">")
    found = re.search(r'viewBox="[^"]*"', head)
    frame = found.group() if found else ""
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r' id="[a-zA-Z0-9]+_\d+"', "", rest)
    rest = rest.replace(_PAPER, "none").replace("xlink:href", "href")
    for colour, name in _VARIABLES.items():
        rest = rest.replace(colour, f"var(--{name})")
    return f'<svg {frame} role="img" aria-label="{told}">{rest.strip()}'
