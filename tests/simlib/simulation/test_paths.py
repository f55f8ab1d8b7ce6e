"""Both paths give what can be written down, and the same spectra."""

import numpy as np
import pytest
import xarray as xr

from simlib import dust
from simlib.config import Normalize, load_config
from simlib.errors import InputError
from simlib.etc.grid import build_terms_grid
from simlib.parameters import AXES, draw_parameters
from simlib.simulation import compiled, reference
from simlib.simulation.line_spread import LineSpread, box_gaussian, line_spread_of
from simlib.simulation.templates import Templates, make_templates
from simlib.stellar import open_grid
from simlib.units import FWHM_PER_SIGMA, ab_flux
from tests.simlib.simulation.grids import RESOLUTION, one_star, same_everywhere

EDGES = np.linspace(710.0, 885.0, 4097)
PIXELS = 0.5 * (EDGES[1:] + EDGES[:-1])
NARROW = LineSpread(PIXELS, 0.0561 + 0.0009 * ((PIXELS - 710.0) / 175.0) ** 2, RESOLUTION)
BROAD = LineSpread(PIXELS, np.full(4096, 0.16 / FWHM_PER_SIGMA), RESOLUTION)
STELLAR = load_config("demo").stellar
LIGHT_KM_S = 299_792.458


_MADE: dict[tuple[str, int], Templates] = {}


def templates_of(grid: xr.Dataset, spread: LineSpread) -> Templates:
    """Return templates, those of the embedded grid made once for all tests of this file."""
    if grid.attrs.get("name") != "default":
        return make_templates(grid, spread, STELLAR)
    key = ("default", id(spread))
    if key not in _MADE:
        _MADE[key] = make_templates(grid, spread, STELLAR)
    return _MADE[key]


def observe(path: str, stars: xr.Dataset, grid: xr.Dataset, spread: LineSpread) -> np.ndarray:
    if path == "compiled":
        templates = templates_of(grid, spread)
        flux, scale = compiled.observe(stars, grid, templates, Normalize())
        return flux * scale[:, np.newaxis]
    rows = [stars.isel(spectrum=i) for i in range(stars.sizes["spectrum"])]
    return np.stack([reference.observe(row, grid, spread, STELLAR.band, 3.1) for row in rows])


both_paths = pytest.mark.parametrize("path", ["reference", "compiled"])


def test_the_kernel_has_area_one_and_the_second_moment_of_its_parts() -> None:
    offset = np.linspace(-1.0, 1.0, 20_001)
    kernel = box_gaussian(offset, np.array(0.05), 0.04)
    step = offset[1] - offset[0]
    assert kernel.sum() * step == pytest.approx(1.0, abs=1e-9)
    assert (kernel * offset**2).sum() * step == pytest.approx(0.05**2 + 0.04**2 / 12, rel=1e-7)


@both_paths
@pytest.mark.parametrize("redshift", [-0.003, 0.0, 0.003])
def test_a_flat_spectrum_stays_flat_and_dust_is_the_formula(path: str, redshift: float) -> None:
    grid = same_everywhere(np.ones_like)
    for ebv in (0.0, 0.1):
        flux = observe(path, one_star(redshift=redshift, ebv=ebv), grid, NARROW)[0]
        expected = dust.transmission(PIXELS, ebv, 3.1)
        assert np.abs(flux / flux[2048] * expected[2048] / expected - 1.0).max() < 1e-6


@both_paths
def test_a_flat_ab_source_has_its_flux_in_physical_units(path: str) -> None:
    grid = same_everywhere(lambda wavelength: (800.0 / wavelength) ** 2)
    flux = observe(path, one_star(magnitude=21.7), grid, NARROW)[0]
    # Convolution of a curve with second derivative adds half of it times the kernel's variance.
    bend = 1.0 + 3.0 * NARROW.second_moment(PIXELS) / PIXELS**2
    assert np.abs(flux / (ab_flux(21.7, PIXELS) * bend) - 1.0).max() < 2e-6


@both_paths
@pytest.mark.parametrize("spread", [NARROW, BROAD], ids=["narrow", "broad"])
@pytest.mark.parametrize("redshift", [-0.003, 0.0, 0.0011, 0.003])
def test_a_narrow_line_keeps_its_place_width_and_area(
    path: str, spread: LineSpread, redshift: float
) -> None:
    centre, depth = 800.0, 0.5
    width = centre / (FWHM_PER_SIGMA * RESOLUTION)
    grid = same_everywhere(lambda w: 1.0 - depth * np.exp(-0.5 * ((w - centre) / width) ** 2))
    flux = observe(path, one_star(redshift=redshift), grid, spread)[0]
    observed = centre * (1.0 + redshift)
    near = np.abs(PIXELS - observed) < 0.5
    line = 1.0 - flux[near] / flux[100]
    area = line.sum() * spread.pixel_nm
    offset = PIXELS[near] - observed
    centroid = (line * offset).sum() / line.sum()
    moment = (line * (offset - centroid) ** 2).sum() / line.sum()
    sigma = np.interp(observed, PIXELS, spread.lsf_sigma)
    assert area == pytest.approx(depth * width * (1 + redshift) * np.sqrt(2 * np.pi), rel=1e-6)
    # The kernel is that of the receiving pixel: its width's slope over wavelength moves the centre.
    about = observed + np.array([-0.1, 0.1])
    moved = np.diff(spread.second_moment(about))[0] / 0.2
    assert abs(centroid - moved) / observed * LIGHT_KM_S < 1e-4
    # The compiled flux is float32, whose rounding shows in the wings that the moment weighs most.
    assert np.sqrt(moment) == pytest.approx(sigma, rel=2e-6 if path == "reference" else 1e-5)


def corners(grid: xr.Dataset) -> xr.Dataset:
    """Return stars at |z| = 0.003 and E(B-V) = 0 and 0.1, along every axis, off the nodes."""
    rows = []
    for axis, name in enumerate(AXES):
        for redshift in (-0.003, 0.003):
            for ebv in (0.0, 0.1):
                nodes = grid[name].values
                at = {n: float(grid[n].values[len(rows) % grid.sizes[n]]) for n in AXES}
                at[name] = float(0.5 * (nodes[-1] + nodes[-2]))
                rows.append(
                    at | {"interpolated_axis": axis, "redshift": redshift, "ebv": ebv,
                          "magnitude": 20.0}
                )  # fmt: skip
    return xr.Dataset({key: ("spectrum", np.array([row[key] for row in rows])) for key in rows[0]})


def tabulated() -> LineSpread:
    """Return the calculator's own profile of the shipped instrument."""
    terms = build_terms_grid(load_config("demo", ["instrument.lsf=profile"]))
    return line_spread_of(terms, RESOLUTION)


@pytest.mark.parametrize(
    ("kind", "rows", "bound"),
    [
        ("narrow", 16, 5e-6),
        ("broad", 16, 5e-6),
        pytest.param("profile", 4, 1e-4, marks=pytest.mark.slow),
    ],
)
def test_compiled_equals_reference(kind: str, rows: int, bound: float) -> None:
    """The profile is sharper than its Gaussian: the same spline on half pixels loses more of it."""
    spread = tabulated() if kind == "profile" else {"narrow": NARROW, "broad": BROAD}[kind]
    grid = open_grid("default")
    edges = corners(grid).isel(spectrum=slice(None, None, 16 // rows))
    drawn = draw_parameters(load_config("demo"), grid, "train", 0, rows)
    drawn = drawn[list(edges)].drop_vars("spectrum")
    stars = xr.concat([drawn, edges], dim="spectrum")
    fast, slow = (observe(path, stars, grid, spread) for path in ("compiled", "reference"))
    off = fast / slow - 1.0
    assert np.abs(off).max() < bound
    assert off.std() < bound / 5


def test_all_four_axes_at_once_agree_with_one_axis_on_its_line() -> None:
    grid = open_grid("default")
    star = draw_parameters(load_config("demo"), grid, "train", 0, 1)
    templates = templates_of(grid, NARROW)
    free = star.assign(interpolated_axis=("spectrum", np.array([-1], dtype=np.int8)))
    one, four = (compiled.observe(s, grid, templates, Normalize())[0] for s in (star, free))
    assert np.abs(four / one - 1.0).max() < 1e-6


def test_a_star_off_its_nodes_is_refused_with_the_nodes() -> None:
    grid = same_everywhere(np.ones_like)
    with pytest.raises(InputError, match="row 0: logg = 1.5 is no node.*1, 2"):
        observe("compiled", one_star(logg=1.5), grid, NARROW)


def test_a_star_beyond_the_prepared_redshift_is_refused() -> None:
    grid = same_everywhere(np.ones_like)
    with pytest.raises(InputError, match="redshift = 0.004 is outside"):
        observe("compiled", one_star(redshift=0.004), grid, NARROW)


def test_a_missing_node_is_named() -> None:
    grid = same_everywhere(np.ones_like)
    present = grid["present"].copy()
    present[1, 0, 0, 0] = False
    with pytest.raises(InputError, match="missing node teff 4500, logg 1, feh -1, alpha 0"):
        observe("compiled", one_star(teff=4100.0), grid.assign(present=present), NARROW)


def test_templates_too_blunt_for_the_instrument_are_refused() -> None:
    grid = same_everywhere(np.ones_like)
    blunt = LineSpread(PIXELS, NARROW.lsf_sigma, 3000.0)
    with pytest.raises(InputError, match="resolution R = 3000 is too low"):
        make_templates(grid, blunt, STELLAR)
