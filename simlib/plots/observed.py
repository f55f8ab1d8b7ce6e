"""The picture of observed spectra of any format, with what our verbs put beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from simlib.plots.picture import Picture
from simlib.plots.spectra import FACTS, panel_of, rows_shown
from simlib.spectra.observed import Observed
from simlib.spectra.own_parts import Own, read_own
from simlib.spectra.read import Contents


def observed_picture(
    contents: Contents, title: str, rows: Sequence[int] = (), with_lines: bool = False
) -> Picture:
    """Return the picture of some spectra of a file, a panel each.

    What the file rejects is left out. Raises InputError for rows that there are not, and for odd
    wavelengths.
    """
    spectra = contents.spectra
    own = read_own(contents.fits, len(spectra))
    shown = rows_shown(len(spectra), rows)
    panels = [panel_of(_row(spectra[row], own[row]), row, with_lines) for row in shown]
    return Picture(f"{title}, {spectra[0].product}", tuple(panels))


def _row(observed: Observed, own: Own) -> xr.Dataset:
    observed.refuse_wavelengths()
    order = slice(None, None, -1 if observed.wavelength[0] > observed.wavelength[-1] else 1)
    unit = {"units": observed.unit.name}

    def along(values: np.ndarray) -> Any:
        return ("wavelength", values[order], unit)

    used = observed.is_usable
    columns = {
        "flux_noisy": along(np.where(used, observed.flux, np.nan)),
        "variance": along(np.where(used, observed.variance, np.nan)),
        **{name: along(values) for name, values in own.curves.items()},
        **{name: float(own.facts[name]) for name in FACTS if name in own.facts},
    }
    who = own.facts.get("object_id", observed.name)
    return xr.Dataset(
        {**columns, "object_id": str(who)}, coords={"wavelength": observed.wavelength[order]}
    )
