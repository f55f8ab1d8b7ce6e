"""Numbers of one condition, kept so that a change of results is never silent.

When one of these moves on purpose, raise `PHYSICS_VERSION` in simlib/etc/grid/build.py (stored
grids and data sets are then made anew) and write the new numbers here.
"""

from typing import Any

import numpy as np
import pytest

from simlib.config import Sky
from simlib.etc.grid.build import PHYSICS_VERSION
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.simlib.etc.made import conditions

PIXELS = [0, 1024, 2048, 3072, 4095]
GOLDEN = {
    "atmosphere_transmission": [0.90198568, 0.91466647, 0.92737881, 0.93552023, 0.94518705],
    "aperture_fraction": [0.56885345, 0.57564928, 0.58201475, 0.58799364, 0.59361809],
    "conversion_e": [68.3799427, 82.510426, 97.7978718, 102.090395, 99.2540175],
    "sky_continuum_e": [79.0221289, 94.1390615, 110.566249, 114.657408, 110.921143],
    "sky_lines_e": [0.0102511056, 0.71987093, 4.68978682, 3.86038566, 8.30232307],
    "moon_e": [16.7390172, 15.2249946, 13.6568314, 10.9643547, 8.07933782],
    "sky_subtraction_variance_e2": [0.91763265, 1.23860469, 1.70204376, 1.67656266, 1.75976761],
}


@pytest.mark.parametrize("term", GOLDEN)
def test_results_of_this_physics_version_stay(term):
    assert PHYSICS_VERSION == 2
    terms = run_etc(conditions(), load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky()))
    np.testing.assert_allclose(terms[term].values[0, PIXELS], GOLDEN[term], rtol=1e-6)


# Every other way through the calculator: the terms that it moves, run_etc's options, the sky's,
# the conditions'.
Variant = tuple[list[str], dict[str, Any], dict[str, Any], dict[str, Any]]
LIGHT = ["sky_continuum_e", "sky_lines_e", "moon_e", "stray_e"]
ALL = ["atmosphere_transmission", "aperture_fraction", "conversion_e", *LIGHT,
       "sky_subtraction_variance_e2", "trace_fraction_sky", "lsf_sigma"]  # fmt: skip
VARIANTS: dict[str, Variant] = {
    "convention modified": (ALL, {"convention": "modified"}, {}, {}),
    "convention upstream": ([*ALL, "instrument_throughput"], {"convention": "upstream"}, {}, {}),
    "lsf table2": (["atmosphere_transmission", "sky_lines_e", "lsf_sigma"],
                   {"lsf": "table2"}, {}, {}),
    "quadrature reference": (["aperture_fraction", "conversion_e"],
                             {"quadrature": "reference"}, {}, {"seeing": 0.6}),
    "lines exact": (["sky_lines_e"], {"line_extinction": "exact"}, {}, {"zenith_angle": 55.0}),
    "continuum skycalc": (["sky_continuum_e"], {}, {"continuum": "skycalc"}, {}),
    "scales": (LIGHT, {}, {"continuum_scale": 1.5, "oh_scale": 0.5, "o2_scale": 2.0,
                           "water_mm": 4.0}, {"zenith_angle": 50.0}),
    "full moon": (["moon_e", "stray_e"], {}, {}, {"moon_phase": 0.5}),
    "waning moon": (["moon_e"], {}, {}, {"moon_phase": 0.8, "moon_target_angle": 15.0}),
    "moon just up": (["moon_e"], {}, {}, {"moon_zenith_angle": 89.0}),
    "extended, displaced, behind dust": (
        ["aperture_fraction", "conversion_e"], {}, {},
        {"fiber_offset_arcsec": 0.3, "r_eff_arcsec": 0.5, "ebv": 0.2}),
    "short exposure at the field's edge": (
        [*LIGHT, "conversion_e", "dark_e"], {"exposure_time_s": 60.0}, {}, {"field_angle": 0.65}),
}  # fmt: skip
GOLDEN_OF: dict[str, dict[str, list[float]]] = {
    "convention modified": {
        "atmosphere_transmission": [0.90198601, 0.91466647, 0.9274287, 0.93445804, 0.94518729],
        "aperture_fraction": [0.56885345, 0.57564928, 0.58201475, 0.58799364, 0.59361809],
        "conversion_e": [68.3799551, 82.5104113, 97.803115, 101.974463, 99.2540242],
        "sky_continuum_e": [79.0221434, 94.1390449, 110.572177, 114.527205, 110.92115],
        "sky_lines_e": [0.00776339779, 0.70102374, 4.56407581, 3.59920515, 7.6591825],
        "moon_e": [16.4178912, 14.9217564, 13.4204762, 10.7666614, 8.09822051],
        "stray_e": 5 * [5.11887665],
        "sky_subtraction_variance_e2": [0.91152601, 1.23139881, 1.69286125, 1.66140227, 1.74543413],
        "trace_fraction_sky": [0.95107581, 0.95036266, 0.94955297, 0.94835806, 0.94573398],
        "lsf_sigma": [0.0561200768, 0.05620109, 0.0563042597, 0.0564913144, 0.0569776362],
    },
    "convention upstream": {
        "atmosphere_transmission": [0.90198624, 0.91466647, 0.92740747, 0.93597872, 0.94518761],
        "aperture_fraction": [0.56885001, 0.57564607, 0.58201174, 0.58799081, 0.59361543],
        "conversion_e": [82.0420098, 99.013396, 117.356059, 122.496808, 119.116183],
        "sky_continuum_e": [99.3600478, 113.312655, 127.152578, 137.656296, 133.105426],
        "sky_lines_e": [0, 0.52985029, 3.46732753, 3.30058941, 9.48165404],
        "moon_e": [19.7014694, 17.9061077, 16.1045714, 12.9199937, 9.71786461],
        "stray_e": 5 * [6.1380672],
        "sky_subtraction_variance_e2": [1.41826415, 1.74971181, 2.22531257, 2.37457716, 2.94461948],
        "trace_fraction_sky": [0.95107581, 0.95036266, 0.94955297, 0.94835806, 0.94573398],
        "lsf_sigma": [0.0561200768, 0.05620109, 0.0563042597, 0.0564913144, 0.0569776362],
        "instrument_throughput": [0.28131589, 0.31192462, 0.34127795, 0.33192, 0.30171794],
    },
    "lsf table2": {
        "atmosphere_transmission": [0.90198651, 0.91466647, 0.92722094, 0.93531335, 0.94518753],
        "sky_lines_e": [0.0, 0.74826685, 2.81548233, 1.18979142, 8.81079326],
        "lsf_sigma": 5 * [0.067945744],
    },
    "quadrature reference": {
        "aperture_fraction": [0.75144982, 0.75803264, 0.76416227, 0.76988742, 0.77524439],
        "conversion_e": [90.3292167, 108.652241, 128.404701, 133.671677, 129.622238],
    },
    "lines exact": {
        "sky_lines_e": [0.0142694172, 1.00988236, 6.6206629, 5.47282807, 11.8239727],
    },
    "continuum skycalc": {
        "sky_continuum_e": [61.0730234, 76.4337643, 105.709585, 135.676061, 147.164695],
    },
    "scales": {
        "sky_continuum_e": [150.875754, 180.612734, 213.076473, 221.231964, 215.24952],
        "sky_lines_e": [0.00478014387, 0.3394153, 2.21942598, 1.83089083, 3.9555366],
        "moon_e": [21.6517717, 19.6935056, 17.6581364, 14.1470352, 10.4505723],
        "stray_e": 5 * [5.16950136],
    },
    "full moon": {
        "moon_e": [495.383982, 450.577136, 404.168023, 324.485338, 239.104512],
        "stray_e": 5 * [10.5544326],
    },
    "waning moon": {
        "moon_e": [106.38951, 107.855608, 107.482652, 95.527302, 77.6258197],
    },
    "moon just up": {
        "moon_e": [11.2503597, 10.2327791, 9.17881044, 7.36918617, 5.43015493],
    },
    "extended, displaced, behind dust": {
        "aperture_fraction": [0.27892481, 0.28094299, 0.28282381, 0.28458225, 0.28622947],
        "conversion_e": [22.2308242, 27.6511561, 33.6498933, 35.9477318, 35.6661606],
    },
    "short exposure at the field's edge": {
        "sky_continuum_e": [3.97429902, 4.73458239, 5.56076307, 5.76652172, 5.5786119],
        "sky_lines_e": [0.000515564067, 0.0362048314, 0.23586587, 0.19415232, 0.41755292],
        "moon_e": [0.84186383, 0.76571832, 0.6868499, 0.55143581, 0.40633821],
        "stray_e": 5 * [0.2563097],
        "conversion_e": [3.52035418, 4.25015609, 5.04027073, 5.26415375, 5.12038156],
        "dark_e": 5 * [0.03],
    },
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_results_of_every_other_way_stay(variant):
    terms, options, sky, at = VARIANTS[variant]
    found = run_etc(
        conditions(**at), load_instrument("pfs-redmr-2016-02-29"), load_sky(Sky(**sky)), **options
    )
    for term in terms:
        over_pixels = found[term].broadcast_like(found["wavelength"]).values.reshape(4096)
        np.testing.assert_allclose(
            over_pixels[PIXELS], GOLDEN_OF[variant][term], rtol=1e-6, atol=1e-9, err_msg=term
        )
