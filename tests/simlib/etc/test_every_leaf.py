"""Every leaf of the config that the calculator reads moves its output; the list is checked."""

import numpy as np
import pytest

from simlib.config import Conditions, Instrument, SimulationConfig, Sky, Terms
from simlib.errors import InputError
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.grid.store import ensure_terms_grid
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.simlib.etc.made import conditions, write_sky_tables

NAME = "pfs-redmr-2016-02-29"
SKY_LEAVES = {  # leaf: value, term that it moves
    "continuum": ("skycalc", "sky_continuum_e"),
    "continuum_scale": (1.5, "sky_continuum_e"),
    "oh_scale": (2.0, "sky_lines_e"),
    "o2_scale": (2.0, "sky_lines_e"),
    "water_mm": (3.0, "atmosphere_transmission"),
    "tables": ("a folder", "sky_lines_e"),
}
INSTRUMENT_LEAVES = {
    "name": ("pfs-redmr-2024-07-14", "instrument_throughput"),
    "lsf": ("table2", "lsf_sigma"),
}
TERMS_LEAVES = {
    "convention": ("modified", "atmosphere_transmission"),
    "quadrature": ("reference", "aperture_fraction"),
    "airmass_nodes": (3, "sky_lines_e"),
    "seeing_nodes": (9, "aperture_fraction"),
    "moon_zenith_nodes": (31, "moon_e"),
    "moon_target_nodes": (31, "moon_e"),
    "moon_phase_nodes": (31, "moon_e"),
}
RANGES = {
    "seeing": (0.5, 1.4),
    "zenith_angle": (0.0, 40.0),
    "field_angle": (0.0, 0.6),
    "moon_zenith_angle": (35.0, 90.0),
    "moon_target_angle": (70.0, 180.0),
    "moon_phase": (0.0, 0.24),
}
ELSEWHERE = {  # read by the simulator, or tested below by name
    "conditions": {"exposure_count", "geometry", "exposure_time_s"},
    "terms": {"source", "tolerance"},
}


def test_no_leaf_is_forgotten():
    assert set(SKY_LEAVES) == set(Sky.model_fields)
    assert set(INSTRUMENT_LEAVES) == set(Instrument.model_fields)
    assert set(TERMS_LEAVES) | ELSEWHERE["terms"] == set(Terms.model_fields)
    assert set(RANGES) | ELSEWHERE["conditions"] == set(Conditions.model_fields)


@pytest.mark.parametrize("leaf", SKY_LEAVES)
def test_every_leaf_of_the_sky_moves_a_term(tmp_path, leaf):
    value, term = SKY_LEAVES[leaf]
    if leaf == "tables":
        value = str(write_sky_tables(tmp_path / "sky"))
    instrument = load_instrument(NAME)
    before = run_etc(conditions(), instrument, load_sky(Sky()))[term]
    after = run_etc(conditions(), instrument, load_sky(Sky(**{leaf: value})))[term]
    assert float(np.abs(after - before).max() / before.max()) > 1e-3


@pytest.mark.parametrize("section", ["instrument", "terms"])
def test_every_leaf_of_instrument_and_terms_moves_a_term(section):
    at = conditions(seeing=0.83, zenith_angle=17.0, moon_zenith_angle=44.4, moon_phase=0.202)
    plain = SimulationConfig()
    before = interpolate_terms(build_terms_grid(plain), at)
    leaves = {"instrument": INSTRUMENT_LEAVES, "terms": TERMS_LEAVES}[section]
    for leaf, (value, term) in leaves.items():
        changed = plain.model_copy(
            update={section: getattr(plain, section).model_copy(update={leaf: value})}
        )
        after = interpolate_terms(build_terms_grid(changed), at)
        assert float(np.abs(after[term] - before[term]).max()) > 0, leaf


@pytest.mark.parametrize("leaf", RANGES)
def test_every_range_limits_what_the_grid_answers(leaf):
    config = SimulationConfig(conditions=Conditions(**{leaf: RANGES[leaf]}))
    grid = build_terms_grid(config)
    low, high = getattr(SimulationConfig().conditions, leaf)
    outside = high if RANGES[leaf][1] < high else low
    with pytest.raises(InputError, match=rf"row 0: {leaf} = .* is outside the terms grid"):
        interpolate_terms(grid, conditions(**{leaf: outside}))


def test_exposure_time_of_the_config_is_that_of_the_terms():
    short = SimulationConfig(conditions=Conditions(exposure_time_s=450.0))
    terms = interpolate_terms(build_terms_grid(short), conditions())
    assert float(terms.exposure_time_s[0]) == 450.0
    assert float(terms.dark_e[0]) == pytest.approx(450.0 * 5e-4)


def test_tolerance_decides_what_is_published(tmp_path):
    config = SimulationConfig(storage={"root": str(tmp_path)}, terms=Terms(tolerance=1e-6))
    with pytest.raises(InputError, match=r"too coarse: .* nothing is published.*terms.tolerance"):
        ensure_terms_grid(config)
    assert not list(tmp_path.rglob("*.zarr"))
