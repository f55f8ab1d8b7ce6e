"""Terms at any condition, interpolated from the grid over conditions.

Linear, by xarray, each factor on its own axes; the factors of the moonlight and the aperture as
logarithms. A row's values do not depend on the other rows of the call.
"""

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.etc import aperture, moon
from simlib.etc.atmosphere import airmass, slant
from simlib.etc.conditions import Conditions, check_conditions
from simlib.etc.grid_build import PIXEL_FACTORS, RANGED
from simlib.etc.output import assemble
from simlib.etc.terms import ROWS_TOGETHER, PixelFactors, RowFactors, empty_terms, form_terms


def interpolate_terms(grid: xr.Dataset, conditions: xr.Dataset) -> xr.Dataset:
    """Return the terms of every condition, as `run_etc` does, from the grid.

    conditions: see `conditions.check_conditions`; inside the grid's ranges, point sources on the
    fibre's centre. A row's values do not depend on the other rows of the call.
    """
    checked = check_conditions(conditions, float(grid.attrs["exposure_time_s"]))
    _refuse_outside(grid, checked)
    factors = _interpolate_factors(grid, checked)
    shared = PixelFactors(
        **{name: grid[f"factor_{name}"].values for name in PIXEL_FACTORS},
        stray_share=float(grid.attrs["stray_share"]),
    )
    values = empty_terms(checked.count, grid.sizes["wavelength"])
    weights = grid["aperture_weight"].values
    for start in range(0, checked.count, ROWS_TOGETHER):
        rows = slice(start, start + ROWS_TOGETHER)
        form_terms(shared, _rows_of(factors, weights, checked, rows), values, rows)
    fixed = grid.drop_dims(_own_dims(grid)).drop_vars([f"factor_{name}" for name in PIXEL_FACTORS])
    return assemble(
        values,
        fixed,
        checked,
        effective_area_m2=factors["area_m2"],
        dark_e_per_s=float(grid.attrs["dark_e_per_s"]),
        attrs={},
    )


def _own_dims(grid: xr.Dataset) -> set[str]:
    """The grid's axes that the terms do not have."""
    return {str(dim) for dim in grid.dims} - {"wavelength", "wavelength_lsf", "offset"}


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


def _interpolate_factors(grid: xr.Dataset, checked: Conditions) -> dict[str, np.ndarray]:
    """Bring every factor to the conditions' rows."""
    dim = checked.dim

    def at(**coords: np.ndarray) -> xr.Dataset:
        names = [n for n, v in grid.data_vars.items() if set(coords) & set(v.dims)]
        if len(coords) == 1:  # those that have a second condition are not asked for here
            names = [n for n in names if n != "ln_aperture_fraction"]
        ends = {key: (grid[key].values[0], grid[key].values[-1]) for key in coords}
        places = {key: (dim, np.clip(x, *ends[key])) for key, x in coords.items()}
        pieces = {key: xr.DataArray(x, dims=d) for key, (d, x) in places.items()}
        return grid[names].interp(pieces, method="linear", assume_sorted=True)

    air = at(path=slant(checked.zenith_angle))
    telescope = at(field_angle=checked.field_angle)
    share = grid[["ln_aperture_fraction"]].interp(
        seeing=xr.DataArray(checked.seeing, dims=dim),
        field_angle=xr.DataArray(checked.field_angle, dims=dim),
        assume_sorted=True,
    )
    moonlight = (
        at(moon_zenith_angle=np.minimum(checked.moon_zenith_angle, moon.HORIZON_DEG))
        .merge(at(moon_target_angle=checked.moon_target_angle))
        .merge(at(moon_phase=checked.moon_phase))
    )
    is_up = moon.is_up(checked.moon_zenith_angle)
    common = air["ln_moon_share"] + moonlight["ln_moon_path"] + moonlight["ln_moon_phase"]
    return {str(name): air[name].values for name in air.data_vars} | {
        "area_m2": telescope["area_m2"].values,
        "fiber_radius_arcsec": aperture.fiber_radius_arcsec(
            float(grid.attrs["fiber_radius_um"]), telescope["focal_length_m"].values
        ),
        "aperture_share": np.exp(share["ln_aperture_fraction"].values),
        "moon_rayleigh": is_up * np.exp((common + moonlight["ln_moon_rayleigh"]).values),
        "moon_mie": is_up * np.exp((common + moonlight["ln_moon_mie"]).values),
        "airmass": airmass(checked.zenith_angle),
    }


def _rows_of(
    factors: dict[str, np.ndarray], weights: np.ndarray, checked: Conditions, rows: slice
) -> RowFactors:
    here = {name: values[rows] for name, values in factors.items()}
    share = here["aperture_share"][:, :1] * weights[0]
    for k in range(1, len(weights)):  # no matrix product: its sums depend on the rows beside
        share += here["aperture_share"][:, k : k + 1] * weights[k]
    transmission = here["factor_transmission"]
    return RowFactors(
        airmass=here["airmass"],
        exposure_time_s=checked.exposure_time_s[rows],
        area_m2=here["area_m2"],
        fiber_radius_arcsec=here["fiber_radius_arcsec"],
        moon_rayleigh=here["moon_rayleigh"],
        moon_mie=here["moon_mie"],
        ebv=checked.ebv[rows],
        transmission=transmission,
        conversion_transmission=here.get("factor_conversion_transmission", transmission),
        lines=here["factor_lines"],
        moon_transmission=here["factor_moon_transmission"],
        aperture_fraction=share,
    )
