"""The page's explorer: stored spectra to pick from, with Bokeh inside the page.

Controls are those of the browser, so that they follow keyboard, screen reader and the page's
colours; `explorer.js` joins them to the plot.
"""

import base64
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from trainlib.evaluation.examples import curves_of
from trainlib.evaluation.figures import TRIPLET_RANGE_NM

_LABELS = ("snr", "teff", "logg", "feh", "alpha", "magnitude", "redshift")
_CURVES = ("noisy", "target", "denoised", "error")  # the last where the network tells it


@dataclass(frozen=True)
class Explorer:
    """What the page embeds. data, plot: JSON that may stand in a script. library: of Bokeh."""

    data: str
    plot: str
    library: str
    has_error: bool


def make_explorer(results: xr.Dataset, examples: xr.Dataset) -> Explorer:
    """Return the explorer of stored spectra. results: those with augmentation on."""
    # Bokeh takes a second to load, and only a page needs it.
    from bokeh.resources import Resources  # noqa: PLC0415

    angstrom = 10.0 * examples["wavelength"].values
    curves = {
        name: values.astype("<f4")
        for name, values in curves_of(examples).items()
        if name in _CURVES
    }
    floor = results.attrs["flux_floor"]
    target = curves["target"]
    middle = np.sort(target, axis=1)[:, [(target.shape[1] - 1) // 2]]
    data = {
        "angstrom": _encoded(angstrom.astype("<f4")),
        "pixels": len(angstrom),
        "divisor_floor": [float(value) for value in floor * middle[:, 0]],
        "curves": {name: _encoded(values) for name, values in curves.items()},
        "spectra": [_labels(results, int(row)) for row in examples["row"].values],
        "triplet": [10.0 * edge for edge in TRIPLET_RANGE_NM],
    }
    scripts = Resources(mode="inline", components=["bokeh"]).js_raw
    return Explorer(
        data=_in_script(data),
        plot=_plot(),
        library="\n".join(scripts).replace("</script", "<\\/script"),
        has_error="error" in curves,
    )


def _labels(results: xr.Dataset, row: int) -> dict[str, float | int]:
    of_network = results["mean_abs_relative_error"].sel({"method": "dae"})
    return {
        "row": row,
        "error": float(of_network[row]),
        **{name: float(results[name][row]) for name in _LABELS},
    }


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _in_script(value: Any) -> str:
    """Return JSON in which nothing can end a script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _plot() -> str:
    """Return two empty panels, spectra above and residual below, which share their wavelengths."""
    from bokeh.embed import json_item  # noqa: PLC0415
    from bokeh.layouts import column  # noqa: PLC0415
    from bokeh.models import ColumnDataSource, Range1d  # noqa: PLC0415
    from bokeh.plotting import figure  # noqa: PLC0415

    names = ("angstrom", "noisy", "target", "denoised", "low", "high", "residual", "below", "above")
    source = ColumnDataSource({name: [] for name in names}, name="spectrum")
    across = Range1d(start=0.0, end=1.0, name="across")
    common: dict[str, Any] = {
        "x_range": across,
        "sizing_mode": "stretch_width",
        "tools": "xpan,box_zoom,xwheel_zoom,reset,save",
        "active_drag": "box_zoom",
        "active_scroll": None,
        "background_fill_color": None,
        "border_fill_color": None,
        "outline_line_color": None,
        "min_border_left": 62,
    }
    above = common | {"y_axis_label": "normalised flux", "toolbar_location": "above"}
    below = common | {"y_axis_label": "residual (%)", "toolbar_location": None,
                      "x_axis_label": "vacuum wavelength (Å)"}  # fmt: skip
    flux = figure(name="flux", height=330, y_range=Range1d(start=0.0, end=1.0), **above)
    flux.varea("angstrom", "low", "high", source=source, name="made", fill_alpha=0.25)
    flux.line("angstrom", "noisy", source=source, name="noise", line_width=0.7)
    flux.line("angstrom", "target", source=source, name="truth", line_width=1.6)
    flux.line("angstrom", "denoised", source=source, name="made", line_width=1.4,
              line_dash="dashed")  # fmt: skip
    flux.toolbar.logo = None
    flux.xaxis.major_label_text_font_size = "0pt"
    left = figure(name="residual", height=170, y_range=Range1d(start=-1.0, end=1.0), **below)
    left.varea("angstrom", "below", "above", source=source, name="made", fill_alpha=0.25)
    left.line("angstrom", "residual", source=source, name="made", line_width=1.1)
    return _in_script(json_item(column(flux, left, sizing_mode="stretch_width")))
