"""The share of light in the fibre against an integral done by brute force."""

import itertools

import numpy as np
import pytest
from scipy.special import j0, j1

from simlib.etc.optics import aperture
from simlib.instrument import load_instrument

STEP = 5e-4
FREQUENCY = (np.arange(60_000) + 0.5) * STEP  # cycles per arcsec


@pytest.fixture(scope="module")
def instrument():
    return load_instrument("pfs-redmr-2016-02-29")


def shares(instrument, seeing, field_angle, offset=0.0, r_eff=0.0, *, wavelength, quadrature):
    rows = np.broadcast_arrays(*map(np.atleast_1d, (seeing, field_angle, offset, r_eff)))
    seeing, field_angle, offset, r_eff = (row.astype(float) for row in rows)
    return aperture.fraction_in_fiber(
        instrument,
        aperture.telescope_at(instrument, field_angle),
        seeing,
        np.atleast_1d(wavelength),
        offset_arcsec=offset,
        r_eff_arcsec=r_eff,
        quadrature=quadrature,
    )[:, 0]


def by_brute_force(instrument, seeing, field_angle, offset, r_eff, wavelength):
    field = aperture.telescope_at(instrument, np.array([field_angle]))
    turn = 2 * np.pi * FREQUENCY
    radius, spot = field.fiber_radius_arcsec[0], field.spot_arcsec[0]
    cutoff = 0.465 / seeing * (wavelength / 800) ** 0.2
    wings = 4 / np.pi * 0.206264806e-3 * wavelength / (8.3 * (1 - 0.22))
    transfer = (
        np.exp(-0.5 * (turn * spot) ** 2 - (FREQUENCY / cutoff) ** (5 / 3) - wings * FREQUENCY)
        * j0(turn * offset)
        * (1 + (turn * r_eff / 1.67834) ** 2) ** -1.5
    )
    return 2 * np.pi * radius * STEP * np.sum(j1(turn * radius) * transfer)


def test_converged_share_equals_the_integral(instrument):
    rows = list(itertools.product((0.1, 0.5, 1.5, 20.0), (0.0, 0.65), (0.0, 0.3, 2.0), (0.0, 5.0)))
    found = shares(instrument, *zip(*rows, strict=True), wavelength=800.0, quadrature="converged")
    expected = [by_brute_force(instrument, *row, 800.0) for row in rows]
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize(
    ("seeing", "on_axis", "edge"),
    [(0.5, 6.5, 3.8), (0.8, 0.85, 0.43), (1.0, 0.19, 0.10), (1.5, 0.06, 0.06)],
)
def test_reference_quadrature_is_too_large_in_good_seeing(instrument, seeing, on_axis, edge):
    """By these per cent at 797 nm, on the field's axis and at its edge."""
    at = {"seeing": seeing, "field_angle": np.array([0.0, 0.65]), "wavelength": 797.0}
    ratio = shares(instrument, **at, quadrature="reference") / shares(
        instrument, **at, quadrature="converged"
    )
    np.testing.assert_allclose(100 * (ratio - 1), [on_axis, edge], atol=0.05)


def test_a_quartic_through_five_wavelengths_is_enough(instrument):
    wavelength = instrument.wavelength[::256]
    nodes = aperture.wavelength_nodes(instrument)

    def at(some):
        return np.array(
            [shares(instrument, 0.7, 0.3, wavelength=w, quadrature="converged")[0] for w in some]
        )

    between = at(nodes) @ aperture.wavelength_weights(instrument, wavelength)
    np.testing.assert_allclose(between, at(wavelength), rtol=3e-7)


def test_no_rows_give_no_shares(instrument):
    none = np.empty(0)
    found = shares(instrument, none, none, none, none, wavelength=800.0, quadrature="converged")
    assert found.shape == (0,)
