"""The spline's weights against scipy's spline, closed forms and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from simlib.errors import InputError
from simlib.stellar import spline_weights

UNEVEN = np.array([-2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 0.75])


@given(st.lists(st.floats(-2.5, 0.75), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_weights_give_the_not_a_knot_spline_of_any_values(points: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(UNEVEN))
    expected = CubicSpline(UNEVEN, values)(points)
    np.testing.assert_allclose(
        spline_weights(UNEVEN, np.array(points)) @ values, expected, atol=1e-12
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_nodes_give_the_interpolating_polynomial(count: int) -> None:
    nodes = np.array([0.0, 1.0, 2.5, 4.0])[:count]
    polynomial = np.polynomial.Polynomial([1.0, -2.0, 0.5, 0.3][:count])
    x = np.linspace(nodes[0], nodes[-1], 7)
    np.testing.assert_allclose(spline_weights(nodes, x) @ polynomial(nodes), polynomial(x))


def test_a_node_takes_exactly_its_own_value() -> None:
    assert np.array_equal(spline_weights(UNEVEN, UNEVEN), np.eye(len(UNEVEN)))


def test_weights_keep_the_shape_of_x() -> None:
    assert spline_weights(UNEVEN, np.zeros((2, 3))).shape == (2, 3, 8)
    assert spline_weights(UNEVEN, 0.1).shape == (8,)


@pytest.mark.parametrize("x", [-2.51, 0.76, np.nan])
def test_outside_the_axis_is_refused_with_its_name_and_range(x: float) -> None:
    with pytest.raises(InputError, match=r"feh = .* is outside the grid's axis \[-2.5, 0.75\]"):
        spline_weights(UNEVEN, x, "feh")
