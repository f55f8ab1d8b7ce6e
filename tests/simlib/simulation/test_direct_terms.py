"""Terms computed row by row, without a grid of them: each option of the config reaches them."""

import numpy as np
import pytest
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.dataset.plan import Block
from simlib.dataset.rows import Recipe
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from simlib.location import Location
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.simulation.targets import terms_of_targets
from simlib.stellar import open_grid
from tests.simlib.dataset.toy_build import OVERRIDES

DIRECT = [*OVERRIDES, "terms.source=direct"]
CONDITIONS = ["seeing", "zenith_angle", "field_angle", "moon_zenith_angle", "moon_target_angle",
              "moon_phase"]  # fmt: skip
UNUSUAL = ["instrument.name=pfs-redmr-2024-07-14", "instrument.lsf=table2", "sky.continuum=skycalc",
           "sky.oh_scale=0.7", "conditions.exposure_time_s=300", "conditions.exposure_count=7",
           "terms.convention=upstream", "terms.quadrature=reference", "noise.sky_subtraction=0.02",
           "noise.sky_subtraction_coherent=false"]  # fmt: skip


def drawn(config: SimulationConfig, rows: int = 4) -> xr.Dataset:
    return draw_parameters(config, open_grid("toy"), "train", 0, rows)


@pytest.mark.parametrize("path", ["compiled", "reference"])
def test_the_variance_is_that_of_the_calculator_at_the_row_s_own_conditions(path: str) -> None:
    """Every option at once is another than the default: one that is dropped moves the variance."""
    config = load_config("tiny", [*DIRECT, *UNUSUAL])
    instrument = load_instrument("pfs-redmr-2024-07-14")
    parameters = drawn(config, 2)
    terms = run_etc(
        parameters[CONDITIONS], instrument, load_sky(config.sky), exposure_time_s=300.0,
        convention="upstream", quadrature="reference", lsf="table2",
    )  # fmt: skip
    spectra = simulate(parameters, open_grid("toy"), instrument, config, path)  # type: ignore[arg-type]
    conversion = terms["conversion_e"].values
    sky = sum(terms[name].values for name in ("sky_continuum_e", "sky_lines_e", "moon_e"))
    source = spectra["flux"].values * spectra["flux_scale"].values[:, None] * conversion
    photons = source + sky + terms["stray_e"].values[:, None] + 300.0 * 5e-4
    three = np.maximum.reduce([sky[:, :-2], sky[:, 1:-1], sky[:, 2:]])
    electrons = 7 * (photons[:, 1:-1] + 80.0) + 7 * (0.02 * three) ** 2
    expected = 1.015 * electrons / (7 * conversion[:, 1:-1]) ** 2
    found = spectra["variance"].values[:, 1:-1] * spectra["flux_scale"].values[:, None] ** 2
    np.testing.assert_allclose(found, expected, rtol=3e-6)
    terms_again = terms_of_targets(parameters, config)
    for name in ("conversion_e", "sky_lines_e", "dark_e", "lsf_sigma"):
        np.testing.assert_array_equal(terms_again[name], terms[name])


def test_a_row_s_own_exposures_go_before_the_config_s() -> None:
    config = load_config("tiny", DIRECT)
    instrument, grid = load_instrument(config.instrument.name), open_grid("toy")
    rows = drawn(config, 1)
    own = rows.assign(exposure_time_s=("spectrum", [450.0]), exposure_count=("spectrum", [3.0]))
    of_config = load_config("tiny", [*DIRECT, "conditions.exposure_time_s=450",
                                     "conditions.exposure_count=3"])  # fmt: skip
    by_row = simulate(own, grid, instrument, config)
    by_config = simulate(rows, grid, instrument, of_config)
    np.testing.assert_array_equal(by_row["variance"], by_config["variance"])
    assert np.all(by_row["variance"] > simulate(rows, grid, instrument, config)["variance"])


@pytest.mark.parametrize("more", [[], ["conditions.exposure_time_s=300"]])
def test_they_agree_with_those_from_a_grid(more: list[str]) -> None:
    config = load_config("tiny", [*DIRECT, *more])
    direct = simulate(drawn(config), open_grid("toy"), load_instrument(config.instrument.name),
                      config)  # fmt: skip
    interpolated = simulate(drawn(config), open_grid("toy"), build_terms_grid(config), config)
    np.testing.assert_allclose(direct["flux"], interpolated["flux"], rtol=2e-6)
    np.testing.assert_allclose(direct["variance"], interpolated["variance"], rtol=2e-3)
    off = np.abs(direct["variance"].values / interpolated["variance"].values - 1.0).max()
    assert off > 1e-6  # they are not the same terms


def test_a_dataset_s_rows_are_made_with_the_terms_that_its_config_names() -> None:
    config = load_config("tiny", DIRECT)
    rows = Recipe(config, Location.of("memory://no/terms")).rows(Block("train", 0, 2))
    expected = simulate(drawn(config, 2), open_grid("toy"),
                        load_instrument(config.instrument.name), config)  # fmt: skip
    xr.testing.assert_identical(rows, expected)
