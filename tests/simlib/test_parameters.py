"""The drawn parameters: the paper's ranges, one parameter off its nodes, rows independent."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from simlib.config import load_config
from simlib.errors import InputError
from simlib.parameters import ALL_AXES, AXES, draw_parameters, impossible_geometry
from simlib.stellar import open_grid

TOY = open_grid("toy")
INSIDE = [
    f"stellar.{name}=[{TOY[name].values[0]}, {TOY[name].values[-1]}]" for name in AXES
]  # fmt: skip
CONFIG = load_config("demo", INSIDE)
TABLE = draw_parameters(CONFIG, TOY, "train", 0, 4000)


def test_every_value_is_in_its_range() -> None:
    for section in (CONFIG.stellar, CONFIG.conditions):
        for name in set(TABLE.data_vars) & set(type(section).model_fields):
            low, high = getattr(section, name)
            assert low <= float(TABLE[name].min()) <= float(TABLE[name].max()) <= high
            if name not in AXES:
                assert float(TABLE[name].max() - TABLE[name].min()) > 0.98 * (high - low)


def test_one_parameter_moves_freely_and_the_others_sit_on_nodes() -> None:
    axis = TABLE["interpolated_axis"].values
    assert np.bincount(axis, minlength=4).min() > 0.8 * len(axis) / 4
    for number, name in enumerate(AXES):
        on_node = np.isin(TABLE[name].values, TOY[name].values)
        assert on_node[axis != number].all()
        assert not on_node[axis == number].any()
        assert set(TABLE[name].values[axis != number]) == set(TOY[name].values)


@settings(max_examples=25)
@given(st.integers(0, 3990), st.integers(1, 60))
def test_a_row_does_not_depend_on_its_block(start: int, length: int) -> None:
    stop = min(start + length, 4000)
    block = draw_parameters(CONFIG, TOY, "train", start, stop)
    assert block.identical(TABLE.isel(spectrum=slice(start, stop)))


def test_splits_and_seeds_differ_in_every_row() -> None:
    other = load_config("demo", [*INSIDE, "dataset.seed=5"])
    tables = [
        draw_parameters(CONFIG, TOY, "validation", 0, 4000),
        draw_parameters(other, TOY, "train", 0, 4000),
    ]
    for table in tables:
        assert not np.any(table["redshift"].values == TABLE["redshift"].values)


def test_a_range_beyond_the_grid_is_refused_with_both() -> None:
    config = load_config("demo", [*INSIDE, "stellar.teff=[1000, 5000]"])
    with pytest.raises(InputError, match=r"stellar.teff = \[1000, 5000\] leaves the grid's axis"):
        draw_parameters(config, TOY, "train", 0, 8)


def test_a_range_without_a_node_is_refused() -> None:
    nodes = TOY["logg"].values
    between = f"stellar.logg=[{nodes[0] + 0.1}, {nodes[0] + 0.2}]"
    with pytest.raises(InputError, match="no line of the stellar grid"):
        draw_parameters(load_config("demo", [*INSIDE, between]), TOY, "train", 0, 8)


def test_lines_with_a_missing_node_are_never_drawn() -> None:
    present = TOY["present"].copy()
    present[0, 1, 1, 1] = False
    table = draw_parameters(CONFIG, TOY.assign(present=present), "train", 0, 4000)
    at = [TOY[name].values[1] for name in AXES]
    along_teff = table["interpolated_axis"].values == 0
    on_line = np.all([table[n].values == at[k] for k, n in enumerate(AXES) if k], axis=0)
    assert not np.any(along_teff & on_line)
    corner = [TOY["teff"].values[0], *at[1:]]
    touching = np.sum([table[n].values == corner[k] for k, n in enumerate(AXES)], axis=0) >= 3
    assert not touching.any()


def test_consistent_geometry_is_always_a_triangle() -> None:
    config = load_config("demo", [*INSIDE, "conditions.geometry=consistent"])
    table = draw_parameters(config, TOY, "train", 0, 4000)
    assert not impossible_geometry(table).any()
    assert impossible_geometry(TABLE).mean() > 0.5  # as printed, most draws are impossible
    for name in ("moon_zenith_angle", "moon_target_angle"):
        low, high = getattr(config.conditions, name)
        assert low <= float(table[name].min()) and float(table[name].max()) <= high


def on_the_sphere(zenith: np.ndarray, moon: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return where a direction exists at these two angles from the zenith and from a target."""
    z, m, a = (np.deg2rad(angle) for angle in (zenith, moon, apart))
    # cos a = cos z cos m + sin z sin m cos(azimuth)
    rest, reach = np.cos(a) - np.cos(z) * np.cos(m), np.sin(z) * np.sin(m)
    return np.asarray(np.abs(rest) <= reach + 1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_consistent_geometry_holds_at_any_ranges_or_is_refused(seed: int) -> None:
    """Ranges up to 75, 180 and 180 degrees; the first of them are the widest."""
    rng = np.random.default_rng(seed)
    most = {"zenith_angle": 75.0, "moon_zenith_angle": 180.0, "moon_target_angle": 180.0}
    ranges = {n: np.sort(rng.uniform(0.0, m, 2)) if seed else [0.0, m] for n, m in most.items()}
    wanted = [f"conditions.{name}=[{low}, {high}]" for name, (low, high) in ranges.items()]
    config = load_config("demo", [*INSIDE, "conditions.geometry=consistent", *wanted])
    steps = [np.linspace(low, high, 41) for low, high in ranges.values()]
    has_a_moon = on_the_sphere(*np.meshgrid(*steps, indexing="ij")).any(axis=(1, 2))
    try:
        table = draw_parameters(config, TOY, "train", 0, 1000)
    except InputError as error:
        assert "widen these ranges" in str(error)
        assert not has_a_moon.all()
        return
    angles = [table[name].values for name in most]
    assert on_the_sphere(*angles).all() and not impossible_geometry(table).any()
    assert has_a_moon.mean() > 0.5
    for values, (low, high) in zip(angles, ranges.values(), strict=True):
        assert low - 1e-9 <= values.min() and values.max() <= high + 1e-9


def test_impossible_geometry_is_what_no_sky_has() -> None:
    angles = np.random.default_rng(4).uniform(0.0, 180.0, (3, 20_000))
    names = ("zenith_angle", "moon_zenith_angle", "moon_target_angle")
    rows = xr.Dataset({n: ("spectrum", a) for n, a in zip(names, angles, strict=True)})
    found = impossible_geometry(rows)
    assert np.array_equal(found, ~on_the_sphere(*angles))
    assert found[angles.sum(axis=0) > 360.0].all() and 0.3 < found.mean() < 0.9


def test_an_impossible_request_for_consistent_geometry_is_refused() -> None:
    wanted = ["conditions.geometry=consistent", "conditions.moon_target_angle=[170, 180]"]
    with pytest.raises(InputError, match="conditions.geometry = 'consistent'"):
        draw_parameters(load_config("demo", [*INSIDE, *wanted]), TOY, "train", 0, 8)


def test_impossible_geometry_by_hand() -> None:
    rows = xr.Dataset(
        {
            "zenith_angle": ("spectrum", [0.0, 0.0, 30.0, 30.0]),
            "moon_zenith_angle": ("spectrum", [60.0, 60.0, 40.0, 80.0]),
            "moon_target_angle": ("spectrum", [60.0, 61.0, 70.0, 45.0]),
        }
    )
    assert impossible_geometry(rows).tolist() == [False, True, False, True]


CONTINUOUS = load_config("demo", [*INSIDE, "stellar.sampling=continuous"])


def test_all_four_may_move_freely() -> None:
    table = draw_parameters(CONTINUOUS, TOY, "train", 0, 4000)
    assert set(table["interpolated_axis"].values) == {ALL_AXES}
    values = np.stack([table[name].values for name in AXES])
    for name, drawn in zip(AXES, values, strict=True):
        low, high = getattr(CONTINUOUS.stellar, name)
        assert kstest(drawn, "uniform", (low, high - low)).pvalue > 1e-3
        assert not np.isin(drawn, TOY[name].values).any()
    others = [name for name in table.data_vars if name not in (*AXES, "interpolated_axis")]
    together = np.corrcoef([*values, *(table[name].values for name in others)])[: len(AXES)]
    assert np.abs(together - np.eye(*together.shape)).max() < 0.08
    for name in ("redshift", "magnitude", "seeing"):  # all else is as along threads
        assert np.array_equal(table[name].values, TABLE[name].values)
    block = draw_parameters(CONTINUOUS, TOY, "train", 100, 130)
    assert block.identical(table.isel(spectrum=slice(100, 130)))


def test_a_grid_with_a_hole_has_nothing_between_its_nodes() -> None:
    present = TOY["present"].copy()
    present[0, 1, 1, 1] = False
    with pytest.raises(InputError, match=r"misses 1 of 256; .*sampling = 'threads'"):
        draw_parameters(CONTINUOUS, TOY.assign(present=present), "train", 0, 8)
    config = load_config("demo", [*INSIDE, "stellar.sampling=continuous", "stellar.logg=[-3, 1]"])
    with pytest.raises(InputError, match=r"stellar.logg = \[-3, 1\] leaves the grid's axis"):
        draw_parameters(config, TOY, "train", 0, 8)
