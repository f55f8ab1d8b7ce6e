"""A picture of which nodes a grid has: a panel for each [alpha/M], holes in colour."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from simlib.figure_file import save_figure
from simlib.stellar.interpolate import grid_name


def draw_coverage(grid: xr.Dataset, path: Path) -> None:
    """Write the figure (PNG, PDF or SVG by its ending): Teff against log g.

    Each square tells the share of the [M/H] nodes that are present; missing ones are counted.
    """
    present = grid["present"].transpose("alpha", "logg", "teff", "feh").values
    count = len(grid["alpha"])
    figure = Figure(figsize=(1.2 + 2.6 * count, 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, count, sharey=True))
    for panel, alpha, mask in zip(panels, grid["alpha"].values, present, strict=True):
        share = mask.mean(axis=-1)
        edges = (np.arange(size + 1) - 0.5 for size in share.shape[::-1])
        image = panel.pcolormesh(*edges, share, cmap="Blues", vmin=0, vmax=1.6, edgecolor="white")
        for row, column in np.argwhere(share < 1):
            missing = int((~mask[row, column]).sum())
            panel.text(column, row, f"−{missing}", ha="center", va="center", color="tab:red")
        panel.set_title(f"[α/M] = {alpha:+.2f}", fontsize=9)
        panel.set_xlabel("Teff [K]")
        panel.xaxis.set_major_locator(FixedLocator(list(range(len(grid["teff"])))))
        panel.set_xticklabels([f"{value:.0f}" for value in grid["teff"].values], rotation=90)
    panels[0].set_ylabel("log g")
    panels[0].yaxis.set_major_locator(FixedLocator(list(range(len(grid["logg"])))))
    panels[0].set_yticklabels([f"{value:g}" for value in grid["logg"].values])
    bar = figure.colorbar(image, ax=list(panels), label="share of [M/H] nodes present")
    bar.ax.set_ylim(0, 1)
    holes = int((~grid["present"].values).sum())
    figure.suptitle(f"{grid_name(grid)}: {present.size - holes} nodes, {holes} missing")
    save_figure(figure, path)
