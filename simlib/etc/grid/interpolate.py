"""Terms at any condition, interpolated from the grid over conditions.

Linear, by xarray, each factor on its own axes; the factors of the moonlight and the aperture as
logarithms. A row's values do not depend on the other rows of the call.
"""

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.etc.conditions import Conditions, check_conditions
from simlib.etc.grid.build import PIXEL_FACTORS, RANGED
from simlib.etc.optics import aperture
from simlib.etc.sky import moon
from simlib.etc.sky.atmosphere import airmass, slant
from simlib.etc.terms import (
    ROWS_TOGETHER,
    PixelFactors,
    empty_terms,
    form_terms,
    row_factors,
    weighted_nodes,
)
from simlib.etc.terms_dataset import assemble

CONVERSION = "factor_conversion_transmission"
KEPT_DIMS = {"wavelength", "wavelength_lsf", "offset"}  # of the terms; the rest is the grid's
NUMBER_TABLES = (
    "area_m2",
    "focal_length_m",
    "ln_aperture_fraction",
    "ln_moon_share",
    "ln_moon_path",
    "ln_moon_phase",
    "ln_moon_rayleigh",
    "ln_moon_mie",
)


def interpolate_terms(grid: xr.Dataset, conditions: xr.Dataset) -> xr.Dataset:
    """Return the terms of every condition, as `run_etc` does, from the grid.

    conditions: see `conditions.check_conditions`; inside the grid's ranges, point sources on the
    fibre's centre. A row's values do not depend on the other rows of the call.
    """
    checked, numbers = interpolate_numbers(grid, conditions)
    shared = PixelFactors(
        **{name: grid[f"factor_{name}"].values for name in PIXEL_FACTORS},
        stray_share=float(grid.attrs["stray_share"]),
    )
    values = empty_terms(checked.count, grid.sizes["wavelength"])
    fills = {
        "atmosphere_transmission": ("path_weight", grid["factor_transmission"].values),
        "sky_lines_e": ("path_weight", grid["factor_lines"].values),
        "moon_e": ("path_weight", grid["factor_moon_transmission"].values),
        "aperture_fraction": ("aperture_share", grid["aperture_weight"].values),
    }
    if CONVERSION in grid:  # it does not hold at the pixels' centres
        fills["conversion_e"] = ("path_weight", grid[CONVERSION].values)
    for start in range(0, checked.count, ROWS_TOGETHER):
        rows = slice(start, start + ROWS_TOGETHER)
        for name, (weights, nodes) in fills.items():
            weighted_nodes(numbers[weights][rows], nodes, values[name][rows])
        if CONVERSION not in grid:
            values["conversion_e"][rows] = values["atmosphere_transmission"][rows]
        form_terms(shared, row_factors(numbers, rows), values, rows)
    fixed = grid[[name for name, v in grid.variables.items() if set(v.dims) <= KEPT_DIMS]]
    return assemble(
        values,
        fixed.drop_vars([f"factor_{name}" for name in PIXEL_FACTORS]),
        checked,
        effective_area_m2=numbers["area_m2"],
        dark_e_per_s=float(grid.attrs["dark_e_per_s"]),
        attrs={},
    )


def _refuse_outside(grid: xr.Dataset, checked: Conditions) -> None:
    for name in RANGED:
        low, high = grid.attrs[f"range_{name}"]
        values = getattr(checked, name)
        outside = np.flatnonzero((values < low - 1e-9) | (values > high + 1e-9))
        if outside.size:
            raise InputError(
                f"row {outside[0]}: {name} = {values[outside[0]]:g} is outside the terms grid "
                f"[{low:g}, {high:g}]; widen [conditions] {name} or compute the terms directly"
            )
    for name in ("fiber_offset_arcsec", "r_eff_arcsec"):
        if np.any(getattr(checked, name)):
            raise InputError(f"the terms grid has no {name}; compute the terms directly")


def interpolate_numbers(
    grid: xr.Dataset, conditions: xr.Dataset
) -> tuple[Conditions, dict[str, np.ndarray]]:
    """Check the conditions, and bring every factor's own axes to their rows.

    The factors over (path, wavelength) come as the weights of their nodes: unit vectors
    interpolated like any other table. Each array is (row,), `path_weight` (row, path),
    `aperture_share` (row, wavelength_aperture).
    """
    checked = check_conditions(conditions, float(grid.attrs["exposure_time_s"]))
    _refuse_outside(grid, checked)
    places = {
        "path": slant(checked.zenith_angle),
        "seeing": checked.seeing,
        "field_angle": checked.field_angle,
        "moon_zenith_angle": np.minimum(checked.moon_zenith_angle, moon.HORIZON_DEG),
        "moon_target_angle": checked.moon_target_angle,
        "moon_phase": checked.moon_phase,
    }
    tables = grid[list(NUMBER_TABLES)].assign(path_weight=(("path", "node"), _unit_vectors(grid)))
    inside = {
        name: xr.DataArray(np.clip(x, *grid[name].values[[0, -1]]), dims=checked.dim)
        for name, x in places.items()
    }
    at = tables.interp(inside, method="linear", assume_sorted=True)
    got = {str(name): at[name].values for name in at.data_vars}
    is_up = moon.is_up(checked.moon_zenith_angle)
    moonlight = got["ln_moon_share"] + got["ln_moon_path"] + got["ln_moon_phase"]
    return checked, got | {
        "airmass": airmass(checked.zenith_angle),
        "exposure_time_s": checked.exposure_time_s,
        "ebv": checked.ebv,
        "fiber_radius_arcsec": aperture.fiber_radius_arcsec(
            float(grid.attrs["fiber_radius_um"]), got["focal_length_m"]
        ),
        "aperture_share": np.exp(got["ln_aperture_fraction"]),
        "moon_rayleigh": is_up * np.exp(moonlight + got["ln_moon_rayleigh"]),
        "moon_mie": is_up * np.exp(moonlight + got["ln_moon_mie"]),
    }


def _unit_vectors(grid: xr.Dataset) -> np.ndarray:
    return np.eye(grid.sizes["path"])
