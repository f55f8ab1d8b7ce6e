"""Observing conditions: which there are, what they may be, what they are where left out."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simlib.bounds import Bound, refuse_out_of_bounds
from simlib.errors import InputError

NEEDED = {
    "seeing": Bound(0.0, 20.0, "arcsec", low_is_allowed=False),  # FWHM at 800 nm
    "zenith_angle": Bound(0.0, 85.0, "deg"),  # the plane atmosphere's path has no limit at 90
    "field_angle": Bound(0.0, 0.7, "deg"),  # held beyond the instrument's last node
    "moon_zenith_angle": Bound(0.0, 180.0, "deg"),
    "moon_target_angle": Bound(0.0, 180.0, "deg"),
    "moon_phase": Bound(0.0, 1.0, ""),  # 0 new, 0.5 full
}
OPTIONAL = {
    "exposure_time_s": Bound(0.0, 1e6, "s", low_is_allowed=False),  # of one read-out
    "exposure_count": Bound(1.0, 1e6, ""),  # read-outs; shapes no term, only S/N
    "ebv": Bound(0.0, 10.0, "mag"),
    "fiber_offset_arcsec": Bound(0.0, 10.0, "arcsec"),
    "r_eff_arcsec": Bound(0.0, 100.0, "arcsec"),
}


@dataclass(frozen=True, eq=False)
class Conditions:
    """Checked conditions, every array (row,)."""

    dim: str
    seeing: np.ndarray
    zenith_angle: np.ndarray
    field_angle: np.ndarray
    moon_zenith_angle: np.ndarray
    moon_target_angle: np.ndarray
    moon_phase: np.ndarray
    exposure_time_s: np.ndarray
    exposure_count: np.ndarray
    ebv: np.ndarray
    fiber_offset_arcsec: np.ndarray
    r_eff_arcsec: np.ndarray

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.seeing.size


def check_conditions(conditions: xr.Dataset, exposure_time_s: float = 900.0) -> Conditions:
    """Return the conditions as arrays with the optional ones filled in.

    conditions: variables of `NEEDED` and any of `OPTIONAL`, along one dimension.
    Raises InputError for a missing variable, or a value out of bounds or NaN, naming the row.
    """
    missing = [name for name in NEEDED if name not in conditions]
    if missing:
        raise InputError(
            f"conditions lack {', '.join(missing)}; they hold {', '.join(map(str, conditions))}"
        )
    dims = {dim for name in NEEDED for dim in conditions[name].dims}
    if len(dims) != 1 or any(conditions[name].ndim != 1 for name in NEEDED):
        raise InputError(f"conditions must lie along one dimension, not {sorted(map(str, dims))}")
    (dim,) = dims
    size = conditions.sizes[dim]
    defaults = {"exposure_time_s": exposure_time_s, "exposure_count": 1.0}
    arrays = {}
    for name, bound in (NEEDED | OPTIONAL).items():
        given = conditions[name].values if name in conditions else defaults.get(name, 0.0)
        arrays[name] = np.array(np.broadcast_to(given, (size,)), dtype=np.float64)
        refuse_out_of_bounds(name, arrays[name], bound)
    return Conditions(dim=str(dim), **arrays)
