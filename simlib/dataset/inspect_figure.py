"""Figures of a dataset that was looked at: its distributions, its use of the grid, some spectra."""

import io
from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave
from matplotlib.ticker import FixedLocator

from simlib.dataset.inspect import Inspection
from simlib.dataset.node_use import PAIRS, NodeUse

_COLOURS = {"train": "#0b63b0", "validation": "#c98a2b", "test": "#5b8c5a"}
_INK, _PALE, _NOISY = "#22282e", "#a9c7e4", "#b9c0c7"
_PARAMETERS = {  # with the unit as a figure writes it
    "teff": "Teff [K]", "logg": "log g", "feh": "[M/H]", "alpha": "[α/M]", "redshift": "redshift",
    "ebv": "E(B-V) [mag]", "magnitude": "magnitude [AB]", "seeing": "seeing [arcsec]",
    "zenith_angle": "zenith angle [°]", "field_angle": "field angle [°]",
    "moon_zenith_angle": "moon from the zenith [°]", "moon_target_angle": "moon from the star [°]",
    "moon_phase": "moon phase",
}  # fmt: skip
_NAMES = {name: text.partition(" [")[0] for name, text in _PARAMETERS.items()}
_BINS = 40  # at most
_COLUMNS = 4
_WIDTH_IN, _DOTS_PER_INCH = 15.0, 110
_HEIGHTS_IN = {"distributions": 9.5, "coverage": 8.5, "spectra": 9.5}
_ROOM = 4.0  # of the median noise, above and below the spectrum


def pictures(seen: Inspection) -> dict[str, bytes]:
    """Return the figures by name, as PNG, all of one width."""
    drawn = {}
    for name, draw in PARTS.items():
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHTS_IN[name]), layout="constrained")
        draw(seen, figure)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=_DOTS_PER_INCH)
        drawn[name] = held.getvalue()
    return drawn


def overview(parts: Iterable[bytes]) -> bytes:
    """Return pictures of one width below each other as one, PNG."""
    held = io.BytesIO()
    imsave(held, np.concatenate([imread(io.BytesIO(part)) for part in parts]), format="png")
    return held.getvalue()


def draw_distributions(seen: Inspection, figure: Figure) -> None:
    """Draw the histograms of S/N and of every parameter, a line for each split."""
    panels = figure.subplots(4, _COLUMNS).flat
    progress = seen.progress
    so_far = "" if seen.manifest else f", {progress.rows:,} of {progress.of_rows:,} rows"
    figure.suptitle(f"{seen.folder.parent.name}/{seen.folder.name}{so_far}", fontsize=11)
    axes = next(panels)
    _histogram(axes, {split: np.log10(table["snr"].values) for split, table in seen.rows.items()})
    axes.set_xlabel("log10 S/N", fontsize=8)
    if seen.rows:
        axes.legend(fontsize=8, frameon=False)
    for name, label in _PARAMETERS.items():
        axes = next(panels)
        known = {split: t[name].values for split, t in seen.rows.items() if name in t}
        _histogram(axes, known)
        axes.set_xlabel(label, fontsize=8)
    for axes in panels:
        axes.set_axis_off()


def _histogram(axes: Axes, values: dict[str, np.ndarray]) -> None:
    axes.tick_params(labelsize=7)
    axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    if not values:
        axes.text(0.5, 0.5, "not known yet", ha="center", color="#5b6670", transform=axes.transAxes)
        return
    low = min(float(v.min()) for v in values.values())
    high = max(float(v.max()) for v in values.values())
    fewest = min(len(v) for v in values.values())
    bins = int(np.clip(np.sqrt(fewest), 8, _BINS))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    for split, v in values.items():
        counts, _ = np.histogram(v, edges)
        axes.stairs(counts / len(v), edges, color=_COLOURS[split], label=split, lw=1.1)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("share of rows", fontsize=8)


def draw_coverage(seen: Inspection, figure: Figure) -> None:
    """Draw how many draws are nearest to the nodes of each pair of the grid's axes."""
    if seen.use is None:
        figure.suptitle(f"use of the stellar grid not known: {seen.why_not[:100]}", fontsize=9)
        return
    panels = figure.subplots(2, 3)
    for axes, (first, second) in zip(panels.flat, PAIRS, strict=True):
        _pair(axes, seen.use, first, second)
    told = seen.use.summary()
    figure.suptitle(
        f"draws by their nearest node; of {told['present']:,} nodes of the stellar grid "
        f"{told['never_used']:,} are never used", fontsize=10,
    )  # fmt: skip


def _pair(axes: Axes, use: NodeUse, first: str, second: str) -> None:
    counts = use.of_pair(first, second)
    edges = [np.arange(size + 1) - 0.5 for size in counts.shape]
    shown = np.ma.masked_equal(counts, 0)
    image = axes.pcolormesh(edges[1], edges[0], shown, cmap="viridis", edgecolor="white", lw=0.4,
                            vmin=0.0, vmax=max(1, counts.max()))  # fmt: skip
    axes.set_facecolor("#f3d9d5")  # where there is none
    for along, name in ((axes.xaxis, second), (axes.yaxis, first)):
        along.set_major_locator(FixedLocator(list(range(len(use.nodes[name])))))
        along.set_ticklabels([f"{value:g}" for value in use.nodes[name]])
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(labelsize=7)
    axes.set_xlabel(_NAMES[second], fontsize=8)
    axes.set_ylabel(_NAMES[first], fontsize=8)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01)
    bar.ax.tick_params(labelsize=7)


def draw_spectra(seen: Inspection, figure: Figure) -> None:
    """Draw the chosen spectra: noisy as observed, one standard deviation, and the truth."""
    if seen.spectra is None:
        figure.suptitle("no spectra yet", fontsize=9)
        return
    panels = figure.subplots(3, 3).flat
    wavelength = seen.spectra["wavelength"].values
    for axes, i in zip(panels, range(seen.spectra.sizes["spectrum"]), strict=False):
        row = seen.spectra.isel(spectrum=i)
        flux, sigma = row["flux"].values, np.sqrt(row["variance"].values)
        axes.plot(wavelength, row["noisy"], lw=0.3, color=_NOISY, label="noisy, one drawing")
        axes.fill_between(wavelength, flux - sigma, flux + sigma, color=_PALE, lw=0.0, zorder=2.1,
                          alpha=0.8, label="± one standard deviation")  # fmt: skip
        axes.plot(wavelength, flux, lw=0.7, color=_INK, zorder=2.2, label="truth")
        room = _ROOM * float(np.median(sigma))
        axes.set_ylim(float(flux.min()) - room, float(flux.max()) + room)
        axes.set_xlim(wavelength[0], wavelength[-1])
        axes.set_title(spectrum_title(row), fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels:
        axes.set_axis_off()
    shown = figure.get_axes()
    handles, labels = shown[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=3,
                           frameon=False)  # fmt: skip
    for line in legend.get_lines():
        line.set_linewidth(2.0)
    for axes in shown[::3]:
        axes.set_ylabel("normalised flux", fontsize=8)
    for axes in shown[-3:]:
        axes.set_xlabel("observed wavelength, vacuum [nm]", fontsize=8)


def spectrum_title(row: xr.Dataset) -> str:
    """Return what is known of one spectrum, in two lines."""
    first = f"{row['split'].item()} {int(row['row'])}:  S/N {float(row['snr']):.1f}"
    if "teff" not in row:
        return first
    of = {name: float(row[name]) for name in _PARAMETERS}
    return (
        f"{first},  {of['magnitude']:.2f} mag,  seeing {of['seeing']:.2f}″,  z {of['redshift']:.4f}"
        f"\nTeff {of['teff']:.0f} K,  log g {of['logg']:.2f},  [M/H] {of['feh']:.2f},  "
        f"[α/M] {of['alpha']:.2f},  E(B-V) {of['ebv']:.3f}"
    )


PARTS: dict[str, Callable[[Inspection, Figure], None]] = {
    "distributions": draw_distributions,
    "coverage": draw_coverage,
    "spectra": draw_spectra,
}
