"""A condition's terms are its own: which others are computed with it changes no bit."""

from functools import cache

import numpy as np
import pytest
import xarray as xr

from simlib.config import Sky, load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.interpolate import interpolate_terms
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument

COUNT = 37
ROWS = ([0], [36], [3, 1], [7, 8, 9], list(range(9)), slice(None, None, -1), slice(1, None, 5))
RANGES = {"seeing": (0.5, 1.5), "zenith_angle": (0.0, 45.0), "field_angle": (0.0, 0.65),
          "moon_zenith_angle": (30.0, 90.0), "moon_target_angle": (60.0, 180.0),
          "moon_phase": (0.0, 0.25)}  # fmt: skip
EXTENDED = {"fiber_offset_arcsec": 0.6, "r_eff_arcsec": 1.0, "ebv": 0.5, "exposure_time_s": 900.0}


def conditions(kind: str) -> xr.Dataset:
    """Return conditions at random; where sources are extended, half of each column is zero."""
    rng = np.random.default_rng(3)
    columns = {name: rng.uniform(*limits, COUNT) for name, limits in RANGES.items()}
    if kind == "extended sources":
        for name, most in EXTENDED.items():
            columns[name] = rng.uniform(0.1, most, COUNT) * (rng.random(COUNT) < 0.5)
        columns["exposure_time_s"] += 100.0
    return xr.Dataset({name: ("condition", column) for name, column in columns.items()})


@cache
def stored() -> xr.Dataset:
    return build_terms_grid(load_config("demo"))


def terms(kind: str, some: xr.Dataset) -> xr.Dataset:
    if kind == "stored grid":
        return interpolate_terms(stored(), some)
    exact = {"line_extinction": "exact"} if kind == "line by line" else {}
    return run_etc(some, load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky()), **exact)


@pytest.mark.parametrize(
    "kind", ["point sources", "extended sources", "line by line", "stored grid"]
)
def test_a_row_s_bits_are_its_own(kind: str) -> None:
    table = conditions(kind)
    whole = terms(kind, table)
    for rows in ROWS:
        found = terms(kind, table.isel(condition=rows))
        for name, expected in whole.isel(condition=rows).data_vars.items():
            assert np.array_equal(found[name].values, expected.values), (name, rows)
