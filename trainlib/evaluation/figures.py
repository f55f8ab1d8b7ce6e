"""The report's figures, each a function of plain arrays and tables that returns a figure."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from simlib.artifact import write_bytes
from simlib.location import Location, Place
from trainlib.evaluation.metrics import SNR_EDGES

NAMES = {
    "none": "noisy input",
    "smoothing": "Gaussian smoothing",
    "pca": "PCA projection",
    "wiener": "Wiener filter",
    "dae": "network",
    "fit": "fit of the simulator",
    "polished": "network, polished",
}
STARTS = {
    "cold": "a coarse grid of templates",
    "dae": "the network's answer",
    "truth": "the truth",
}
COLOURS = {
    "none": "#9aa3ad",
    "smoothing": "#c98a2b",
    "pca": "#5b8c5a",
    "wiener": "#7a5ea8",
    "dae": "#0b63b0",
    "fit": "#a3425b",
    "polished": "#1b9aaa",
}
CALCIUM_TRIPLET_NM = (850.04, 854.44, 866.45)  # vacuum
_TRIPLET_RANGE = (847.5, 869.5)
_INK, _FAINT = "#22282e", "#d5dade"
_RUN_LINES = ("-", "--", ":", "-.")


def example_figure(
    wavelength_nm: np.ndarray, noisy: np.ndarray, denoised: np.ndarray, target: np.ndarray
) -> Figure:
    """Draw one spectrum, what the network makes of it, and what is left; all (pixels,)."""
    angstrom = 10.0 * wavelength_nm
    figure = _figure(10.0, 6.8)
    grid = figure.add_gridspec(2, 1, height_ratios=[3.2, 1.0])
    above = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=above)
    _spectrum(above, angstrom, noisy, denoised, target, thin=True)
    span = float(target.max() - target.min())
    above.set_ylim(target.min() - 1.3 * span, target.max() + 0.5 * span)
    above.set_ylabel("normalised flux")
    above.legend(loc="upper left", ncols=3)
    above.tick_params(labelbottom=False)

    above.add_patch(  # keeps noise out of the inset's labels
        Rectangle((0.455, 0.0), 0.545, 0.47, transform=above.transAxes, color="white", zorder=4)
    )
    inset = above.inset_axes((0.50, 0.065, 0.49, 0.36), zorder=5)
    inside = (wavelength_nm > _TRIPLET_RANGE[0]) & (wavelength_nm < _TRIPLET_RANGE[1])
    if inside.sum() > 2:
        _spectrum(
            inset, angstrom[inside], noisy[inside], denoised[inside], target[inside], thin=False
        )
        inset.set_xlim(angstrom[inside][0], angstrom[inside][-1])
        inset.set_title("Ca II triplet", fontsize=9, loc="left", pad=2)
        inset.set_ylim(0.9 * target[inside].min() - 0.02, 1.12 * target[inside].max())
        inset.tick_params(labelsize=7)
    else:
        inset.remove()

    below.axhline(0.0, color=_INK, lw=0.6)
    residual = 100.0 * (denoised - target) / target
    below.plot(angstrom, residual, color=COLOURS["dae"], lw=0.6)
    limit = max(1.0, 1.1 * float(np.percentile(np.abs(residual), 99.5)))
    below.set_ylim(-limit, limit)
    below.set_ylabel("residual (%)")
    below.set_xlabel("vacuum wavelength (Å)")
    below.set_xlim(angstrom[0], angstrom[-1])
    return figure


def _spectrum(
    axes: Axes,
    angstrom: np.ndarray,
    noisy: np.ndarray,
    denoised: np.ndarray,
    target: np.ndarray,
    *,
    thin: bool,
) -> None:
    width = 0.7 if thin else 1.1
    axes.plot(angstrom, noisy, color="#c3c9cf", lw=0.6, label="noisy input")
    axes.plot(angstrom, target, color=_INK, lw=width, label="noiseless")
    axes.plot(angstrom, denoised, color="#d1495b", lw=width, alpha=0.9, label="denoised")


def loss_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw training and validation loss of each run against the spectra it has seen."""
    figure = _figure(6.2, 3.8)
    axes = figure.add_subplot()
    for (name, log), line in zip(logs.items(), _cycle(len(logs)), strict=True):
        of_run = f", {name}" if len(logs) > 1 else ""
        seen = [entry["samples"] for entry in log]
        axes.plot(seen, [entry["loss"] for entry in log], line, color="#9aa3ad",
                  marker=".", label=f"training{of_run}")  # fmt: skip
        axes.plot(seen, [entry["validation_loss"] for entry in log], line, color=COLOURS["dae"],
                  marker=".", label=f"validation{of_run}")  # fmt: skip
    _logarithmic(axes, "y")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="y", which="minor", labelsize=8)
    axes.set_xlabel("spectra seen")
    axes.set_ylabel("loss: RMSE of the normalised flux")
    axes.legend()
    return figure


def error_figure(
    results: dict[str, xr.Dataset], measure: str = "mean_abs_relative_error"
) -> Figure:
    """Draw the mean of a measure in bins of S/N: all methods of the first run, other networks."""
    figure = _figure(6.2, 4.2)
    axes = figure.add_subplot()
    first = next(iter(results.values()))
    network = 100.0 * first[measure].sel({"method": "dae"}).values
    axes.plot(first["snr"], network, ".", ms=1.5, color=COLOURS["dae"], alpha=0.25, zorder=1)
    for method in first["method"].values:
        snr, mean = binned(first, str(method), measure)
        axes.plot(snr, 100.0 * mean, "o-", ms=4, color=COLOURS[str(method)],
                  label=NAMES[str(method)], zorder=3)  # fmt: skip
    for (name, run), line in list(zip(results.items(), _cycle(len(results)), strict=True))[1:]:
        snr, mean = binned(run, "dae", measure)
        axes.plot(snr, 100.0 * mean, line, marker="s", ms=3, color=COLOURS["dae"], label=name)
    _logarithmic(axes, "x", "y")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if value in (5, 20, 50) else "")
    axes.set_xlabel("median S/N per pixel of the noisy spectrum")
    axes.set_ylabel("mean |R| (%)")
    axes.legend()
    return figure


def bias_figure(results: xr.Dataset) -> Figure:
    """Draw the mean signed relative error of all methods in bins of S/N."""
    figure = _figure(6.2, 3.8)
    axes = figure.add_subplot()
    axes.axhline(0.0, color=_INK, lw=0.6)
    for method in results["method"].values:
        snr, mean = binned(results, str(method), "mean_relative_error")
        axes.plot(snr, 100.0 * mean, "o-", ms=4, color=COLOURS[str(method)],
                  label=NAMES[str(method)])  # fmt: skip
    _logarithmic(axes, "x")
    axes.set_yscale("symlog", linthresh=0.1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if value in (5, 20, 50) else "")
    axes.set_xlabel("median S/N per pixel of the noisy spectrum")
    axes.set_ylabel("mean R (%), signed")
    axes.legend()
    return figure


def binned(results: xr.Dataset, method: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return median S/N and mean measure of the bins that hold spectra so judged."""
    snr = results["snr"].values
    values = results[measure].sel({"method": method}).values
    judged = np.isfinite(values)  # of some methods, the first spectra only
    inside = [judged & (snr >= a) & (snr < b) for a, b in pairwise(SNR_EDGES)]
    centres = [np.median(snr[some]) for some in inside if some.any()]
    means = [values[some].mean() for some in inside if some.any()]
    return np.array(centres), np.array(means)


def _cycle(count: int) -> list[str]:
    return [_RUN_LINES[i % len(_RUN_LINES)] for i in range(count)]


def _logarithmic(axes: Axes, *directions: Literal["x", "y"]) -> None:
    """Make axes logarithmic where anything is drawn that can stand on such."""
    for direction in directions:
        drawn = [np.asarray(getattr(line, f"get_{direction}data")()) for line in axes.lines]
        if any((values > 0.0).any() for values in drawn):
            axes.set(**{f"{direction}scale": "log"})


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=160, layout="constrained", facecolor="white")


def style(figure: Figure) -> Figure:
    """Give every panel the same quiet look."""
    for axes in [a for panel in figure.axes for a in (panel, *panel.child_axes)]:
        axes.grid(True, color=_FAINT, lw=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        legend = axes.get_legend()
        if legend is not None:
            legend.set_frame_on(False)
            for text in legend.get_texts():
                text.set_fontsize(8)
    return figure


def save_and_embed(figure: Figure, path: Place) -> str:
    """Write a figure as PNG and return it as a data URI."""
    buffer = io.BytesIO()
    style(figure).savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(Location.of(path), buffer.getvalue())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
