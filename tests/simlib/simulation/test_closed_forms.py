"""Both paths, through Gaussian lines and through whole profiles, give what can be written down."""

import numpy as np
import pytest

from simlib import dust
from simlib.simulation import reference
from simlib.simulation.compiled.taps import PAIRS, TAPS, tap_weights
from simlib.simulation.line_spread import box_gaussian
from simlib.stellar.grid import continuum_on
from simlib.units import FWHM_PER_SIGMA, ab_flux
from tests.simlib.simulation.grids import (
    RESOLUTION,
    four_of_each_axis,
    one_star,
    same_everywhere,
)
from tests.simlib.simulation.spreads import (
    KINDS,
    PATHS,
    PIXELS,
    observe,
    spread_of,
    templates_of,
)

LIGHT_KM_S = 299_792.458
CENTRE, DEPTH = 800.0, 0.5
WIDTH = CENTRE / (FWHM_PER_SIGMA * RESOLUTION)

all_paths = pytest.mark.parametrize("path", PATHS)
all_kinds = pytest.mark.parametrize("kind", KINDS)


def test_the_kernel_has_area_one_and_the_second_moment_of_its_parts() -> None:
    offset = np.linspace(-1.0, 1.0, 20_001)
    kernel = box_gaussian(offset, np.array(0.05), 0.04)
    step = offset[1] - offset[0]
    assert kernel.sum() * step == pytest.approx(1.0, abs=1e-9)
    assert (kernel * offset**2).sum() * step == pytest.approx(0.05**2 + 0.04**2 / 12, rel=1e-7)


def test_a_profile_has_area_one_and_ends_without_a_step() -> None:
    spread = spread_of("profile")
    end = spread.reach(np.array(CENTRE), 10.0)
    offset = np.linspace(-end, end, 20_001)
    for at in (710.0, CENTRE, 885.0):
        kernel = spread.kernel(offset, np.full_like(offset, at))
        assert kernel.sum() * (offset[1] - offset[0]) == pytest.approx(1.0, abs=1e-7)
        assert abs(kernel[0]) < 1e-9 * kernel.max()


@all_paths
@all_kinds
@pytest.mark.parametrize("redshift", [-0.003, 0.0, 0.003])
def test_a_flat_spectrum_stays_flat_and_dust_is_the_formula(
    path: str, kind: str, redshift: float
) -> None:
    grid = same_everywhere(np.ones_like)
    for ebv in (0.0, 0.1):
        flux = observe(path, one_star(redshift=redshift, ebv=ebv), grid, kind)[0]
        expected = dust.transmission(PIXELS, ebv, 3.1)
        assert np.abs(flux / flux[2048] * expected[2048] / expected - 1.0).max() < 1e-6


@all_paths
def test_a_flat_ab_source_has_its_flux_in_physical_units(path: str) -> None:
    grid = same_everywhere(lambda wavelength: (800.0 / wavelength) ** 2)
    flux = observe(path, one_star(magnitude=21.7), grid, "narrow")[0]
    # Convolution of a curve with second derivative adds half of it times the kernel's variance.
    bend = 1.0 + 3.0 * spread_of("narrow").second_moment(PIXELS) / PIXELS**2
    assert np.abs(flux / (ab_flux(21.7, PIXELS) * bend) - 1.0).max() < 2e-6


def moments(line: np.ndarray, offset: np.ndarray) -> tuple[float, float, float]:
    """Return the area (pixels), centroid and width of a line."""
    area = line.sum()
    centroid = (line * offset).sum() / area
    return area, centroid, np.sqrt((line * (offset - centroid) ** 2).sum() / area)


def lines(wavelength: np.ndarray) -> np.ndarray:
    return np.asarray(DEPTH * np.exp(-0.5 * ((wavelength - CENTRE) / WIDTH) ** 2))


shifts = pytest.mark.parametrize("redshift", [-0.003, 0.0, 0.0011, 0.003])


@all_paths
@pytest.mark.parametrize("kind", ["narrow", "broad"])
@shifts
def test_a_narrow_line_keeps_its_place_width_and_area(
    path: str, kind: str, redshift: float
) -> None:
    spread, observed = spread_of(kind), CENTRE * (1.0 + redshift)
    grid = same_everywhere(lambda w: 1.0 - lines(w))
    flux = observe(path, one_star(redshift=redshift), grid, kind)[0]
    near = np.abs(PIXELS - observed) < 0.5
    area, centroid, width = moments(1.0 - flux[near] / flux[100], PIXELS[near] - observed)
    expected = DEPTH * WIDTH * (1.0 + redshift) * np.sqrt(2.0 * np.pi)
    assert area * spread.pixel_nm == pytest.approx(expected, rel=1e-6)
    # The kernel is that of the receiving pixel: its width's slope over wavelength moves the centre.
    about = observed + np.array([-0.1, 0.1])
    moved = np.diff(spread.second_moment(about))[0] / 0.2
    assert abs(centroid - moved) / observed * LIGHT_KM_S < 1e-4
    # The compiled flux is float32, whose rounding shows in the wings that the moment weighs most.
    sigma = np.interp(observed, PIXELS, spread.lsf_sigma)
    assert width == pytest.approx(sigma, rel=2e-6 if path == "reference" else 1e-5)


@all_paths
@shifts
def test_a_narrow_line_through_a_whole_profile_is_the_integral(path: str, redshift: float) -> None:
    """The line, a Gaussian, is integrated over the kernel in steps far below its own width."""
    spread, stretch = spread_of("profile"), 1.0 + redshift
    grid = same_everywhere(lambda w: 1.0 - lines(w))
    flux = observe(path, one_star(redshift=redshift), grid, "profile")[0]
    offset = PIXELS - stretch * CENTRE
    near, core = np.abs(offset) < 2.0, np.abs(offset) < 0.35
    rest = CENTRE + WIDTH * np.linspace(-7.0, 7.0, 281)
    places = np.broadcast_to(PIXELS[near][:, np.newaxis], (near.sum(), len(rest)))
    kernel = spread.kernel(places - stretch * rest, places)
    depth = (kernel * lines(rest)).sum(axis=1) * stretch * WIDTH / 20.0
    line = 1.0 - flux / flux[:1500].mean()
    assert np.abs(line[near] - depth).max() < (3e-8 if path == "reference" else 3e-7)
    found, true = moments(line[core], offset[core]), moments(depth[core[near]], offset[core])
    assert found[0] == pytest.approx(true[0], rel=1e-6)
    assert abs(found[1] - true[1]) / CENTRE * LIGHT_KM_S < 1e-4
    assert found[2] == pytest.approx(true[2], rel=1e-5)


@all_paths
@pytest.mark.parametrize("interpolated_axis", [-1, 0, 1, 2, 3])
def test_splines_at_a_node_give_the_node(path: str, interpolated_axis: int) -> None:
    grid = four_of_each_axis()
    here = {"teff": 1, "logg": 2, "feh": 1, "alpha": 3}
    node = grid.isel(here)
    values = {name: float(node[name]) for name in here}
    star = one_star(**values, interpolated_axis=interpolated_axis)
    wavelength = grid["wavelength_model"].values
    flux = node["flux_normalized"].values.astype(float) * continuum_on(node, wavelength)
    expected = reference.to_pixels(wavelength, flux, spread_of("narrow"))
    off = observe(path, star, grid, "narrow")[0] / expected
    assert np.abs(off / off[2048] - 1.0).max() < 1e-6


@all_kinds
def test_what_is_stored_is_the_convolved_node(kind: str) -> None:
    """At rest and without dust; of a profile, the table of the power 0 of redshift."""
    grid = four_of_each_axis()
    templates = templates_of(grid, kind)
    halves = np.split(templates.coefficients[0].astype(float), 2)  # of even and odd points
    points = np.stack(halves, axis=1).ravel()
    node = grid.isel(teff=0, logg=0, feh=0, alpha=0)
    wavelength = grid["wavelength_model"].values
    flux = node["flux_normalized"].values.astype(float) * continuum_on(node, wavelength)
    start, pitch = templates.rest
    for number in (100, 101, 4000, 8001, 8300):
        around = points[number - PAIRS + 1 : number - PAIRS + 1 + TAPS]
        at = np.array([start + number * pitch])
        spread = spread_of(kind)
        stored = tap_weights(-0.5) @ around
        assert stored == pytest.approx(
            reference.to_pixels(wavelength, flux, spread, at)[0], rel=3e-7
        )
