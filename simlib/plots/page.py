"""A picture as a page to move about in: self-contained, it opens anywhere, also offline."""

from typing import Any

from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.models.annotations import Label, Span, Title
from bokeh.plotting import figure
from bokeh.resources import Resources

from simlib.plots.picture import Panel, Picture, spread

_WIDTH, _HEIGHT = 1200, 340  # pixels of the screen, of a panel
_LABEL_SHARE = 0.012


def page_of(picture: Picture) -> str:
    """Return the page: the wheel zooms, a click on a name hides its curve, values are read."""
    low, high = picture.range_nm
    shared = Range1d(start=low, end=high, bounds=(low, high))
    panels = [_panel(panel, shared, high - low) for panel in picture.panels]
    panels[0].add_layout(Title(text=picture.title, text_font_style="normal"), "above")
    panels[-1].xaxis.axis_label = "wavelength, vacuum [nm]"
    whole = column(*panels, sizing_mode="stretch_width")
    return file_html(whole, Resources(mode="inline"), title=picture.title)


def _panel(panel: Panel, shared: Range1d, width_nm: float) -> figure:
    settings: dict[str, Any] = {
        "title": panel.title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "x_range": shared,
        "y_axis_type": "log" if panel.is_logarithmic else "linear",
        "y_axis_label": panel.unit,
        "tools": "xpan,xwheel_zoom,box_zoom,reset,save",
        "active_scroll": "xwheel_zoom",
        "sizing_mode": "stretch_width",
    }
    axes = figure(**settings)
    axes.toolbar.logo = None
    if panel.limits is not None:
        axes.y_range = Range1d(start=panel.limits[0], end=panel.limits[1])
    for band in panel.bands:
        axes.varea(panel.wavelength, band.low, band.high, fill_color=band.colour, fill_alpha=0.6,
                   legend_label=band.label)  # fmt: skip
    for curve in sorted(panel.curves, key=lambda one: not one.is_behind):
        source = ColumnDataSource({"x": panel.wavelength, "y": curve.values})
        line = axes.line("x", "y", source=source, color=curve.colour, line_width=1.5 * curve.width,
                         legend_label=curve.label)  # fmt: skip
        told = [("", curve.label), ("nm", "@x{0.000}"), ("value", "@y{0.0000}")]
        axes.add_tools(HoverTool(renderers=[line], tooltips=told, mode="mouse", visible=False))
    _marks(axes, panel, width_nm)
    axes.legend.click_policy = "hide"
    axes.legend.orientation = "horizontal"
    axes.legend.label_text_font_size = "8pt"
    axes.add_layout(axes.legend[0], "below")  # out of the way of curves and names of lines
    return axes


def _marks(axes: figure, panel: Panel, width_nm: float) -> None:
    places = spread([mark.wavelength_nm for mark in panel.marks], _LABEL_SHARE * width_nm)
    for mark, place in zip(panel.marks, places, strict=True):
        axes.add_layout(Span(location=mark.wavelength_nm, dimension="height", line_width=0.7,
                             line_color="#5b8c5a", line_alpha=0.7))  # fmt: skip
        axes.add_layout(
            Label(x=place, y=4, y_units="screen", text=mark.label, angle=90, angle_units="deg",
                  text_font_size="7pt", text_color="#3d6b3c", text_baseline="middle",
                  background_fill_color="white", background_fill_alpha=0.8)
        )  # fmt: skip
