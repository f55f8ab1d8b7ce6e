"""Make one row of a dataset again, with everything that happened on the way.

The steps are those of the plain path in the paper's order; the row itself is also made by the
compiled path, which is what the store holds.
"""

import numpy as np
import xarray as xr

from simlib import dust
from simlib.config import SimulationConfig
from simlib.dataset.agreement import difference, tolerance_to
from simlib.dataset.layout import PIXEL_VARIABLES, as_kept
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of, terms_named
from simlib.errors import InputError
from simlib.location import Place
from simlib.noise import PHOTON_TERMS
from simlib.parameters import AXES
from simlib.simulation import reference
from simlib.simulation.compiled.batch import window_pixels
from simlib.simulation.line_spread import line_spread_of
from simlib.simulation.simulate import terms_at, with_noise
from simlib.units import FLUX_UNIT_NAME

COUNTS = ("source_e", *PHOTON_TERMS)


def replay(place: Place, split: str, index: int) -> xr.Dataset:
    """Return every intermediate step of row `index` of a split of a published dataset.

    Over `wavelength_rest`: template, at the star's surface. Over `wavelength_observed`: shifted,
    reddened, and convolved (kernel and pixel at every template point of the arm), in
    1e-17 erg s-1 cm-2 AA-1, as from `shifted` on. Over `wavelength`: sampled (physical flux), the
    electrons of one exposure by term, the variance, and `flux`, `variance` as stored. Scalars:
    the row's parameters, the exposures, flux_scale, snr, and how far the stored row is from the
    one made again; the attribute `off_again_expected` says how far it may be: 0 where the
    arithmetic is that of the dataset.
    Raises InputError for a row that the dataset does not have.
    """
    folder, manifest = published_dataset(place)
    stored = open_dataset(folder, split)
    if not 0 <= index < stored.sizes["spectrum"]:
        raise InputError(
            f"{folder} has no row {index} in {split!r}: it has rows 0 to "
            f"{stored.sizes['spectrum'] - 1}"
        )
    recipe, _ = recipe_of(folder, manifest)
    drawn = recipe.drawn(split, index, index + 1)
    terms = terms_at(drawn, terms_named(recipe.config, recipe.terms), recipe.config)
    steps = steps_of(drawn, recipe.grid, terms, recipe.config)
    again = as_kept(recipe.observed(drawn))
    for name in PIXEL_VARIABLES:
        kept = stored[name][index].values
        steps[f"{name}_stored"] = ("wavelength", kept, {"units": "1"})
        steps[f"{name}_off_again"] = (
            (),
            difference(again[name][0], kept),
            {"long_name": "largest relative difference of the row made again from the stored row"},
        )
        steps[f"{name}_off_plain"] = ((), difference(steps[name].values, kept), {
            "long_name": "the same of the row made by the plain path in float64"})  # fmt: skip
    expected = max(tolerance_to(maker) for maker in manifest.arithmetic)
    return steps.assign_attrs(
        dataset=str(folder), split=split, index=index, off_again_expected=expected
    )


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
