"""No option without an effect: moving any leaf of the simulation's config moves a spectrum.

Generated from the models, so a new leaf without an entry here fails.
"""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from simlib.config import SimulationConfig, load_config
from simlib.dataset.agreement import FirstRow
from simlib.dataset.plan import make_plan
from simlib.etc.grid.build import build_terms_grid
from simlib.instrument import load_instrument
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate
from simlib.stellar import open_grid

ROWS = 6
SECTIONS = ("instrument", "sky", "conditions", "terms", "stellar", "noise", "normalize", "dataset")

USUAL = ["stellar.grid=toy"]  # its set-up takes no time

# leaf -> another value; what the leaf needs beside it to act
MOVED: dict[str, list[str]] = {
    "instrument.name": ["instrument.name=pfs-redmr-2024-07-14"],
    "instrument.lsf": ["instrument.lsf=table2"],
    "sky.continuum": ["sky.continuum=skycalc"],
    "sky.continuum_scale": ["sky.continuum_scale=1.3"],
    "sky.oh_scale": ["sky.oh_scale=1.0"],
    "sky.o2_scale": ["sky.o2_scale=1.0"],
    "sky.water_mm": ["sky.water_mm=3.0"],
    "conditions.seeing": ["conditions.seeing=[0.6, 1.5]"],
    "conditions.zenith_angle": ["conditions.zenith_angle=[5, 45]"],
    "conditions.field_angle": ["conditions.field_angle=[0.1, 0.65]"],
    "conditions.moon_zenith_angle": ["conditions.moon_zenith_angle=[35, 90]"],
    "conditions.moon_target_angle": ["conditions.moon_target_angle=[70, 180]"],
    "conditions.moon_phase": ["conditions.moon_phase=[0.1, 0.25]"],
    "conditions.exposure_time_s": ["conditions.exposure_time_s=600"],
    "conditions.exposure_count": ["conditions.exposure_count=10"],
    "conditions.geometry": ["conditions.geometry=consistent"],
    "terms.source": ["terms.source=direct"],
    "terms.convention": ["terms.convention=modified"],
    "terms.quadrature": ["terms.quadrature=reference"],
    "terms.airmass_nodes": ["terms.airmass_nodes=3"],
    "terms.seeing_nodes": ["terms.seeing_nodes=5"],
    "terms.moon_zenith_nodes": ["terms.moon_zenith_nodes=5"],
    "terms.moon_target_nodes": ["terms.moon_target_nodes=5"],
    "terms.moon_phase_nodes": ["terms.moon_phase_nodes=5"],
    "stellar.grid": ["stellar.grid=default"],
    "stellar.teff": ["stellar.teff=[3600, 5000]"],
    "stellar.logg": ["stellar.logg=[0.5, 5]"],
    "stellar.feh": ["stellar.feh=[-2, 0.75]"],
    "stellar.alpha": ["stellar.alpha=[-0.2, 0.5]"],
    "stellar.sampling": ["stellar.sampling=continuous"],
    "stellar.redshift": ["stellar.redshift=[-0.001, 0.003]"],
    "stellar.magnitude": ["stellar.magnitude=[20, 22.5]"],
    "stellar.band": ["stellar.band=lsst2023-i"],
    "stellar.ebv": ["stellar.ebv=[0.05, 0.1]"],
    "stellar.r_v": ["stellar.r_v=3.5"],
    "stellar.withheld": ["stellar.withheld=threads", "stellar.withheld_share=0.5"],
    "stellar.withheld_share": ["stellar.withheld=threads", "stellar.withheld_share=0.9"],
    "stellar.withheld_only": ["stellar.withheld=threads", "stellar.withheld_share=0.5",
                              "stellar.withheld_only=true"],
    "noise.sky_subtraction": ["noise.sky_subtraction=0.0"],
    "noise.sky_subtraction_coherent": ["noise.sky_subtraction_coherent=false"],
    "normalize.median": ["normalize.median=0.4"],
    "normalize.window_nm": ["normalize.window_nm=[720, 800]"],
    "dataset.seed": ["dataset.seed=9"],
}  # fmt: skip

ELSEWHERE = {
    "sky.tables": "tests/simlib/etc, with a folder of tables",
    "terms.tolerance": "tests/simlib/etc: what a grid of terms is refused for",
    "dataset.name": "names the store",
    "dataset.n_train": "rows of the store, below",
    "dataset.n_validation": "rows of the store, below",
    "dataset.n_test": "rows of the store, below",
    "dataset.block": "cut of the store, below",
    "dataset.chunk": "cut of the store, below",
    "dataset.mode": "tests/simlib/dataset/test_virtual.py and tests/trainlib/test_endless.py: "
    "whether spectra are stored, and whether training sees one twice",
}


def leaves() -> list[str]:
    sections = {name: SimulationConfig.model_fields[name].annotation for name in SECTIONS}
    return [f"{name}.{key}" for name, model in sections.items() for key in model.model_fields]  # type: ignore[union-attr]


def spectra(overrides: list[str]) -> xr.Dataset:
    config = load_config("tiny", [*USUAL, *overrides])
    grid = open_grid(config.stellar.grid)
    parameters = draw_parameters(config, grid, "train", 0, ROWS)
    direct = config.terms.source == "direct"
    terms = load_instrument(config.instrument.name) if direct else build_terms_grid(config)
    return simulate(parameters, grid, terms, config)


@pytest.fixture(scope="module")
def usual() -> xr.Dataset:
    return spectra([])


def test_every_leaf_is_tried() -> None:
    assert set(leaves()) == set(MOVED) | set(ELSEWHERE)


@pytest.mark.parametrize("leaf", MOVED)
def test_moving_a_leaf_moves_a_spectrum(leaf: str, usual: xr.Dataset) -> None:
    moved = spectra(MOVED[leaf])
    same = [
        np.array_equal(moved[name].values, usual[name].values)
        for name in ("flux", "variance", "flux_scale", "snr")
    ]
    assert not all(same)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dataset.n_train=50", {"rows": {"train": 50, "validation": 48}}),
        ("dataset.n_validation=50", {"rows": {"train": 96, "validation": 50}}),
        ("dataset.n_test=50", {"rows": {"train": 96, "validation": 48, "test": 50}}),
        ("dataset.block=64", {"block": 64}),
        ("dataset.chunk=8", {"chunk": 8}),
    ],
)
def test_the_size_and_cut_of_a_store_move(override: str, expected: dict[str, Any]) -> None:
    config = load_config("tiny", [override])
    first_row = FirstRow(arithmetic="", flux=(), variance=())
    plan = make_plan(config.dataset, config.storage.codec, first_row).model_dump()
    assert {key: plan[key] for key in expected} == expected
