"""Finer lines brought to a network's: widths in quadrature, light kept, noise as it is."""

import numpy as np
import pytest

from simlib.spectra.convolution import kernel_sigma
from simlib.spectra.observed import Observed
from simlib.spectra.pixels import way_of
from simlib.spectra.units import RELATIVE
from simlib.units import FWHM_PER_SIGMA
from tests.simlib.spectra import on_way

PITCH = 0.0427
NEW = 800.0 + PITCH * np.arange(1000)
LSF = 0.066 + 0.00005 * (NEW - 800.0)  # nm
LINE, DEPTH = 820.013, 0.7
# resolution, pixels
FINER = {
    "R 20,000": (20_000.0, np.arange(799.0, 844.0, 0.0143)),
    "R 20,000, falling": (20_000.0, np.arange(799.0, 844.0, 0.0143)[::-1]),
    "R 20,000, uneven": (20_000.0, np.exp(np.arange(np.log(799.0), np.log(844.0), 1.5e-5))),
    "R 100,000": (100_000.0, np.arange(799.0, 844.0, 0.003)),
    "R 6000": (6000.0, np.arange(799.0, 844.0, 0.04)),
}


def observed(wavelength, flux, variance=1e-4, mask=None, resolution=20_000.0):
    bad = np.zeros(wavelength.size, bool) if mask is None else mask
    return Observed("a", "b", wavelength, flux, np.broadcast_to(variance, flux.shape), bad,
                    RELATIVE, resolution=resolution)  # fmt: skip


def brought(one):
    way = way_of(one, NEW, kernel_sigma(NEW, LSF, one.resolution))
    return on_way.brought(one, way)


def line(x, sigma):
    return 1.0 - DEPTH * np.exp(-0.5 * ((x - LINE) / sigma) ** 2)


@pytest.mark.parametrize("name", FINER)
def test_widths_add_in_quadrature_and_a_line_keeps_its_light_and_place(name):
    resolution, old = FINER[name]
    own = LINE / (FWHM_PER_SIGMA * resolution)  # of an unresolved line
    found = brought(observed(old, line(old, own), resolution=resolution))
    lost = (1.0 - found.flux)[np.abs(NEW - LINE) < 0.7]
    at = NEW[np.abs(NEW - LINE) < 0.7]
    light = PITCH * lost.sum()
    assert light == pytest.approx(DEPTH * own * np.sqrt(2.0 * np.pi), rel=1e-3)
    middle = np.sum(at * lost) / lost.sum()
    assert middle == pytest.approx(LINE, abs=2e-4)
    width = np.sqrt(np.sum((at - middle) ** 2 * lost) / lost.sum())
    assert width == pytest.approx(np.interp(LINE, NEW, LSF), rel=2e-3)
    expected = line(NEW, np.interp(LINE, NEW, LSF))
    expected = 1.0 - (1.0 - expected) * own / np.interp(LINE, NEW, LSF)
    assert np.max(np.abs(found.flux - expected)) < 3e-3
    assert found.covered == 1.0


def test_lines_as_wide_or_wider_or_of_unknown_width_stay_as_they_are():
    for resolution in (None, 2000.0, float(np.median(NEW / (FWHM_PER_SIGMA * LSF)))):
        assert kernel_sigma(NEW, LSF, resolution) is None
    part = np.where(NEW < 825.0, 0.066, 0.050)  # as wide already in the red
    missing = kernel_sigma(NEW, part, 6000.0)
    assert (missing[NEW < 825.0] > 0.02).all() and not missing[NEW > 825.0].any()
    old = np.arange(799.0, 844.0, 0.04)
    one = observed(old, line(old, 0.06) - 0.3 * np.exp(-0.5 * ((old - 830.0) / 0.06) ** 2))
    found = on_way.brought(one, way_of(one, NEW, missing))
    red = np.abs(NEW - 830.0) < 1.0
    expected = 1.0 - 0.3 * np.exp(-0.5 * ((NEW - 830.0) / 0.06) ** 2)
    assert np.max(np.abs(found.flux - expected)[red]) < 3e-3


def test_the_error_of_a_mean_and_what_neighbours_share_are_right():
    old = FINER["R 20,000"][1]
    draw, sigma = np.random.default_rng(3), 0.1 * (1.0 + 0.5 * np.sin(old))
    way = way_of(observed(old, old), NEW, kernel_sigma(NEW, LSF, 20_000.0))
    pulls, noise = [], []
    for _ in range(40):
        one = observed(old, sigma * draw.standard_normal(old.size), sigma**2)
        found = on_way.brought(one, way)
        noise.append(found.flux)
        for part in np.array_split(np.arange(20, 980), 8):
            weight = 1.0 / found.variance[part]
            pulls.append(np.sum(weight * found.flux[part]) / np.sqrt(weight.sum()))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    left, right = np.array(noise)[:, 20:979], np.array(noise)[:, 21:980]
    together = np.mean(left * right) / np.sqrt(np.mean(left**2) * np.mean(right**2))
    assert found.shared == pytest.approx(together, abs=0.02) and found.shared > 0.8


def test_at_edges_and_in_gaps_nothing_is_made_up_and_all_else_is_as_it_was():
    old = np.arange(805.0, 838.0, 0.0143)
    flux = 1.0 + 0.3 * np.sin(3.0 * old)
    whole = brought(observed(old, flux))
    seen = np.isfinite(whole.variance)
    reach = 3.0 * 0.068
    assert NEW[seen][0] == pytest.approx(805.0 + reach, abs=0.1)
    assert NEW[seen][-1] == pytest.approx(838.0 - reach, abs=0.1)
    bad = (old > 815.0) & (old < 816.0)
    for one in (observed(old, np.where(bad, 1e6, flux), mask=bad), observed(old[~bad], flux[~bad])):
        found = brought(one)
        here = np.isfinite(found.variance)
        assert not here[(NEW > 815.0) & (NEW < 816.0)].any()
        assert here[seen & ((NEW < 815.0 - 0.2) | (NEW > 816.0 + 0.2))].all()
        near = here & (np.abs(NEW - 815.5) < 0.5 + 5 * 0.07)
        assert np.max(np.abs(found.flux - whole.flux)[near]) < 0.02
        far = here & ~near
        assert np.allclose(found.flux[far], whole.flux[far], rtol=1e-9)
        assert np.allclose(found.variance[far], whole.variance[far], rtol=1e-9)
    elsewhere = np.arange(700.0, 720.0, 0.0143)
    with pytest.raises(ValueError, match="none of its"):
        brought(observed(elsewhere, np.ones(elsewhere.size)))
