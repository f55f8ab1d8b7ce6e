"""A picture drawn with matplotlib, for a file that does not move: PNG, PDF, SVG."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simlib.plots.picture import Panel, Picture, spread

_WIDTH, _HEIGHT, _FIRST = 11.0, 2.3, 0.9  # inches: of all, of a panel, of what is around them
_LABELS_HEIGHT = 0.55  # more of a panel with marks
_LABEL_SHARE = 0.0115  # of the range, between two labels
_ABOVE_LABELS = 46.0  # points from the axes to a title above the labels of marks


def draw_picture(picture: Picture) -> Figure:
    """Draw all panels, one below the other."""
    heights = [_HEIGHT + (_LABELS_HEIGHT if panel.marks else 0.0) for panel in picture.panels]
    figure = Figure(figsize=(_WIDTH, _FIRST + sum(heights)), layout="constrained")
    column = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, panel in zip(column[:, 0], picture.panels, strict=True):
        _draw(axes, panel)
    low, high = picture.range_nm
    column[-1, 0].set_xlim(low, high)
    column[-1, 0].set_xlabel("wavelength, vacuum [nm]", fontsize=9)
    for axes, panel in zip(column[:, 0], picture.panels, strict=True):
        _mark(axes, panel, low, high)
    figure.suptitle(picture.title, fontsize=10)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    for band in panel.bands:
        axes.fill_between(panel.wavelength, band.low, band.high, color=band.colour, lw=0.0,
                          alpha=0.8, zorder=1.95, label=band.label)  # fmt: skip
    for curve in panel.curves:
        axes.plot(panel.wavelength, curve.values, color=curve.colour, lw=curve.width,
                  label=curve.label, zorder=2.0 if curve.is_behind else 2.3)  # fmt: skip
    if panel.is_logarithmic:
        axes.set_yscale("log")
    if panel.limits is not None:
        axes.set_ylim(panel.limits)
    axes.set_title(panel.title, loc="left", fontsize=8.5, pad=4.0)
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e8ebee", lw=0.6)
    axes.set_axisbelow(True)
    legend = axes.legend(fontsize=7, loc="lower right", ncols=4, framealpha=0.85, borderpad=0.3)
    for line in legend.get_lines():
        line.set_linewidth(1.8)


def _mark(axes: Axes, panel: Panel, low: float, high: float) -> None:
    """Draw thin lines, their names above the axes moved apart."""
    if not panel.marks:
        return
    above = axes.get_xaxis_transform()
    places = spread([mark.wavelength_nm for mark in panel.marks], _LABEL_SHARE * (high - low))
    for mark, place in zip(panel.marks, places, strict=True):
        axes.axvline(mark.wavelength_nm, color="#5b8c5a", lw=0.5, alpha=0.7, zorder=1.9)
        axes.plot([mark.wavelength_nm, place], [1.0, 1.04], color="#5b8c5a", lw=0.5, clip_on=False,
                  transform=above)  # fmt: skip
        axes.text(place, 1.05, mark.label, rotation=90, fontsize=6, ha="center", va="bottom",
                  color="#3d6b3c", transform=above)  # fmt: skip
    axes.set_title(panel.title, loc="left", fontsize=8.5, pad=_ABOVE_LABELS)
