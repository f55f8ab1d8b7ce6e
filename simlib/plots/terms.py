"""The picture of the calculator's terms under one condition: counts, transmissions, line width."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from simlib.etc.figures import BUDGET
from simlib.plots.lines import line_marks
from simlib.plots.picture import Curve, Panel, Picture
from simlib.plots.spectra import rows_shown

_LEAST_E = 1e-2  # shown: less matters to no pixel
_SHARES = (
    ("atmosphere_transmission", "atmosphere", "#0b63b0"),
    ("instrument_throughput", "instrument", "#c2410c"),
    ("aperture_fraction", "fibre aperture", "#5b8c5a"),
)
_CONDITIONS = {  # variable -> how it is told
    "seeing": "seeing {:.2f}″", "zenith_angle": "zenith angle {:.1f}°",
    "field_angle": "field angle {:.2f}°", "moon_zenith_angle": "moon {:.0f}° from the zenith",
    "moon_target_angle": "{:.0f}° from the target", "moon_phase": "phase {:.2f}",
    "exposure_time_s": "{:g} s",
}  # fmt: skip


def terms_picture(
    terms: xr.Dataset, title: str, rows: Sequence[int] = (), with_lines: bool = False
) -> Picture:
    """Return the picture of one condition, or of those asked for, the counts of each.

    terms: as `run_etc` returns them. Raises InputError for conditions that there are not.
    """
    conditions = rows_shown(terms.sizes["condition"], rows or (0,))
    counts = [_counts(terms.isel(condition=row), row, with_lines) for row in conditions]
    first = terms.isel(condition=conditions[0])
    return Picture(title, (*counts, _shares(first), _width(first)))


def _counts(terms: xr.Dataset, row: int, with_lines: bool) -> Panel:
    wavelength = terms["wavelength"].values
    curves = [
        Curve(label, np.maximum(_along(terms, name), 1e-9), colour, is_behind=name == "sky_lines_e")
        for name, label, colour in BUDGET
        if name in terms
    ]
    told = ",  ".join(t.format(float(terms[n])) for n, t in _CONDITIONS.items() if n in terms)
    largest = max(float(np.nanmax(curve.values)) for curve in curves)
    return Panel(
        title=f"condition {row}:  {told}",
        unit="variance of one exposure [electron²]",
        wavelength=wavelength,
        curves=tuple(curves),
        marks=line_marks(wavelength) if with_lines else (),
        is_logarithmic=True,
        limits=(_LEAST_E, 2.0 * largest),
    )


def _shares(terms: xr.Dataset) -> Panel:
    curves = [
        Curve(label, _along(terms, name), colour)
        for name, label, colour in _SHARES
        if name in terms
    ]
    return Panel("what is let through", "share", terms["wavelength"].values, tuple(curves),
                 limits=(0.0, 1.05))  # fmt: skip


def _width(terms: xr.Dataset) -> Panel:
    sigma = Curve("line spread, pixel included", 10.0 * _along(terms, "lsf_sigma"), "#7a5ea8", 1.2)
    return Panel("width of a line", "Gaussian sigma [Å]", terms["wavelength"].values, (sigma,))


def _along(terms: xr.Dataset, name: str) -> np.ndarray:
    """Return a term over wavelength, one that does not depend on it too."""
    values = np.asarray(terms[name].values, dtype=np.float64)
    return np.array(np.broadcast_to(values, (terms.sizes["wavelength"],)))
