"""Make one row of a dataset again, with everything that happened on the way.

The steps are those of the plain path in the paper's order; the row itself is also made by the
compiled path, which is what the store holds.
"""

import numpy as np
import xarray as xr

from simlib import dust
from simlib.config import SimulationConfig
from simlib.dataset.plan import Block
from simlib.dataset.rows import grid_named, recipe_of, simulate_rows, terms_named
from simlib.dataset.store import PIXEL_VARIABLES, dtype_of, open_dataset, published_folder
from simlib.errors import InputError
from simlib.noise import PHOTON_TERMS
from simlib.parameters import AXES, draw_parameters
from simlib.simulation import reference
from simlib.simulation.compiled import window_pixels
from simlib.simulation.line_spread import line_spread_of
from simlib.simulation.simulate import terms_at, with_noise
from simlib.storage import Options
from simlib.units import FLUX_UNIT_NAME

COUNTS = ("source_e", *PHOTON_TERMS)


def replay(folder: str, split: str, index: int, options: Options | None = None) -> xr.Dataset:
    """Return every intermediate step of row `index` of a split of a published dataset.

    Over `wavelength_rest`: template, at the star's surface. Over `wavelength_observed`: shifted,
    reddened, and convolved (kernel and pixel at every template point of the arm), in
    1e-17 erg s-1 cm-2 AA-1, as from `shifted` on. Over `wavelength`: sampled (physical flux), the
    electrons of one exposure by term, the variance, and `flux`, `variance` as stored. Scalars:
    the row's parameters, the exposures, flux_scale, snr, and how far the stored row is from the
    one made again.
    Raises InputError for a row that the dataset does not have.
    """
    place = published_folder(folder, options)
    stored = open_dataset(place, split, options)
    if not 0 <= index < stored.sizes["spectrum"]:
        raise InputError(
            f"{place} has no row {index} in {split!r}: it has rows 0 to "
            f"{stored.sizes['spectrum'] - 1}"
        )
    config, location = recipe_of(place, options)
    grid = grid_named(config.stellar.grid)
    terms = terms_named(config, location)
    drawn = draw_parameters(config, grid, split, index, index + 1)
    steps = steps_of(drawn, grid, terms_at(drawn, terms, config), config)
    again = simulate_rows(config, grid, location, Block(split, index, index + 1)).isel(spectrum=0)
    for name in PIXEL_VARIABLES:
        kept = stored[name][index].values
        made = again[name].values.astype(dtype_of(name))
        steps[f"{name}_stored"] = ("wavelength", kept, {"units": "1"})
        steps[f"{name}_off_again"] = (
            (),
            np.abs(made / kept - 1.0).max(),
            {"long_name": "largest relative difference of the stored row from the row made again"},
        )
        steps[f"{name}_off_plain"] = ((), np.abs(steps[name].values / kept - 1.0).max(), {
            "long_name": "the same from the plain path in float64"})  # fmt: skip
    return steps.assign_attrs(dataset=place, split=split, index=index)


def steps_of(
    drawn: xr.Dataset, grid: xr.Dataset, terms: xr.Dataset, config: SimulationConfig
) -> xr.Dataset:
    """Return the steps of one drawn row (dim `spectrum` of size one), see `replay`."""
    star = drawn.isel(spectrum=0)
    spread = line_spread_of(terms, float(grid.attrs["resolution"]))
    values = {name: float(star[name]) for name in (*AXES, "redshift", "ebv", "magnitude")}
    flux, continuum = reference.template(grid, values, int(star["interpolated_axis"]))
    rest = grid["wavelength_model"].values
    observed = rest * (1.0 + values["redshift"])
    dimming = dust.transmission(observed, values["ebv"], config.stellar.r_v)
    scale = reference.magnitude_scale(
        observed, flux * dimming, continuum * dimming, values["magnitude"], config.stellar.band
    )
    reddened = scale * flux * dimming
    arm = spread.wavelength[[0, -1]]
    inside = (observed >= arm[0]) & (observed <= arm[1])
    convolved = np.full(len(observed), np.nan)
    convolved[inside] = reference.to_pixels(observed, reddened, spread, observed[inside])
    sampled = reference.to_pixels(observed, reddened, spread)
    unit = (
        np.median(sampled[slice(*window_pixels(spread.wavelength, config.normalize))])
        / config.normalize.median
    )
    noisy = with_noise(sampled[np.newaxis] / unit, np.array([unit]), drawn, terms, config)
    pixels = {"flux": noisy.flux[0], "variance": noisy.variance[0]}
    row = terms.isel(spectrum=0)
    electrons = {name: row[name].values for name in PHOTON_TERMS}
    electrons["source_e"] = row["conversion_e"].values * sampled
    steps = xr.Dataset(
        {
            "template": ("wavelength_rest", flux, {"units": "erg s-1 cm-2 AA-1, at the surface"}),
            "shifted": ("wavelength_observed", scale * flux, {"units": FLUX_UNIT_NAME}),
            "reddened": ("wavelength_observed", reddened, {"units": FLUX_UNIT_NAME}),
            "convolved": ("wavelength_observed", convolved, {"units": FLUX_UNIT_NAME}),
            "sampled": ("wavelength", sampled, {"units": FLUX_UNIT_NAME}),
            **{name: ("wavelength", values, {"units": "1"}) for name, values in pixels.items()},
            "variance_physical": ("wavelength", pixels["variance"] * unit**2, {
                "units": f"({FLUX_UNIT_NAME})2"}),
            **{name: ("wavelength", np.broadcast_to(electrons[name], sampled.shape), {
                "units": "electron"}) for name in COUNTS},
            "flux_scale": ((), unit, {"units": FLUX_UNIT_NAME}),
            "snr": ((), noisy.snr[0], {"units": "1"}),
            "exposure_time_s": ((), config.conditions.exposure_time_s, {"units": "s"}),
            "exposure_count": ((), config.conditions.exposure_count, {"units": "1"}),
            **{str(name): ((), float(star[name]), star[name].attrs) for name in star.data_vars},
        },
        coords={
            "wavelength_rest": ("wavelength_rest", rest, {"units": "nm", "medium": "vacuum"}),
            "wavelength_observed": ("wavelength_observed", observed, {
                "units": "nm", "medium": "vacuum"}),
            "wavelength": ("wavelength", spread.wavelength, {"units": "nm", "medium": "vacuum"}),
        },
    )  # fmt: skip
    steps["interpolated_axis"].attrs = {"long_name": "number of the parameter that is splined"}
    return steps


def scalars_and_medians(steps: xr.Dataset) -> tuple[dict[str, float], dict[str, float]]:
    """Return the numbers of the row that `replay` returned, and the medians of all else."""
    scalars = {str(name): float(step) for name, step in steps.data_vars.items() if not step.dims}
    medians = {
        str(n): float(np.nanmedian(step)) for n, step in steps.data_vars.items() if step.dims
    }
    return scalars, medians
