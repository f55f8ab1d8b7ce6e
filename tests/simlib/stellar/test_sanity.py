"""The embedded grid against what is known of cool stars, at R = 5000 unless said otherwise."""

import numpy as np
import pytest
import xarray as xr

from simlib.stellar import continuum_on, interpolate_grid, open_grid
from simlib.stellar.medium import air_to_vacuum
from simlib.stellar.quality import leave_one_out
from simlib.stellar.resolution import degrade

LINES = {  # nm, vacuum
    "Ca 8498": 850.0358, "Ca 8542": 854.4438, "Ca 8662": 866.4520, "Na 8183": 818.5505,
    "Na 8195": 819.7060, "K 7699": 770.1083, "Mg 8807": 880.9176, "Fe 8689": 869.1011,
}  # fmt: skip
STARS = {
    "Arcturus": (4286, 1.66, -0.52, 0.25),
    "61 Cyg A": (4374, 4.63, -0.33, 0.0),
    "metal-poor giant": (4600, 1.2, -2.2, 0.4),
    "M2 dwarf": (3550, 4.8, 0.0, 0.0),
    "mu Leo": (4474, 2.51, 0.25, 0.0),
    "Aldebaran": (3927, 1.11, -0.37, 0.0),
}


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    return open_grid()


@pytest.fixture(scope="module")
def wavelength(grid: xr.Dataset) -> np.ndarray:
    return grid["wavelength_model"].values


@pytest.fixture(scope="module")
def stars(grid: xr.Dataset, wavelength: np.ndarray) -> dict[str, np.ndarray]:
    teff, logg, feh, alpha = (
        np.array(column, float) for column in zip(*STARS.values(), strict=True)
    )
    flux = interpolate_grid(grid, teff=teff, logg=logg, feh=feh, alpha=alpha)["flux_normalized"]
    return dict(zip(STARS, degrade(flux.values, wavelength, 20000, 5000), strict=True))


@pytest.fixture(scope="module")
def nodes(grid: xr.Dataset, wavelength: np.ndarray) -> np.ndarray:
    """All nodes at R = 5000, axes × wavelength."""
    planes = [degrade(p.values, wavelength, 20000, 5000) for p in grid["flux_normalized"]]
    return np.stack(planes)


def depth(flux: np.ndarray, wavelength: np.ndarray, line: str) -> np.ndarray:
    return 1 - flux[..., np.abs(wavelength - LINES[line]) < 0.15].min(axis=-1)


def equivalent_width(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Ca II 8542 + 8662 (A) in 20 A windows, against the 95th percentile of 40 A around."""
    total = 0.0
    for line in ("Ca 8542", "Ca 8662"):
        offset = np.abs(wavelength - LINES[line])
        level = np.percentile(flux[..., offset < 2.0], 95, axis=-1, keepdims=True)
        inside = offset < 1.0
        total = total + np.trapezoid(
            1 - flux[..., inside] / level, 10 * wavelength[inside], axis=-1
        )
    return np.asarray(total)


def tio_step(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Flux in 7126-7135 over that in 7042-7046 A (air): the deepest TiO head."""

    def mean(low: float, high: float) -> np.ndarray:
        ends = air_to_vacuum(np.array([low, high]) / 10)
        return flux[..., (wavelength > ends[0]) & (wavelength < ends[1])].mean(axis=-1)

    return mean(7126, 7135) / mean(7042, 7046)


@pytest.mark.parametrize(
    ("star", "depths"),
    [
        ("Arcturus", (0.46, 0.63, 0.60)),
        ("61 Cyg A", (0.40, 0.55, 0.53)),
        ("metal-poor giant", (0.29, 0.48, 0.43)),
    ],
)
def test_calcium_triplet_depths(stars, wavelength, star: str, depths: tuple[float, ...]) -> None:
    found = [depth(stars[star], wavelength, line) for line in ("Ca 8498", "Ca 8542", "Ca 8662")]
    assert found == pytest.approx(depths, abs=0.05)


@pytest.mark.parametrize(
    ("line", "depths"),
    [
        ("Na 8183", (0.13, 0.28, 0.48, 0.03)),
        ("Na 8195", (0.16, 0.34, 0.54, 0.04)),
        ("K 7699", (0.14, 0.28, 0.63, 0.03)),
    ],
)
def test_alkali_depths(stars, wavelength, line: str, depths: tuple[float, ...]) -> None:
    order = ("Arcturus", "61 Cyg A", "M2 dwarf", "metal-poor giant")
    found = [depth(stars[star], wavelength, line) for star in order]
    assert found == pytest.approx(depths, rel=0.3)


@pytest.mark.parametrize(
    ("line", "depths"), [("Mg 8807", (0.27, 0.30, 0.09)), ("Fe 8689", (0.22, 0.30, 0.08))]
)
def test_magnesium_and_iron_depths(stars, wavelength, line: str, depths: tuple[float, ...]) -> None:
    found = [
        depth(stars[s], wavelength, line) for s in ("Arcturus", "61 Cyg A", "metal-poor giant")
    ]
    assert found == pytest.approx(depths, abs=0.05)


@pytest.mark.parametrize(
    ("star", "width"),
    [("Arcturus", 6.9), ("61 Cyg A", 6.0), ("metal-poor giant", 3.3), ("mu Leo", 7.5)],
)
def test_calcium_equivalent_widths(stars, wavelength, star: str, width: float) -> None:
    assert equivalent_width(stars[star], wavelength) == pytest.approx(width, rel=0.15)


@pytest.mark.parametrize(
    ("star", "mean"),
    [
        ("mu Leo", 0.92), ("Aldebaran", 0.93), ("Arcturus", 0.96), ("61 Cyg A", 0.97),
        ("metal-poor giant", 0.995), ("M2 dwarf", 0.85),
    ],
)  # fmt: skip
def test_mean_normalised_flux(stars, wavelength, star: str, mean: float) -> None:
    inside = (wavelength > 691) & (wavelength < 909)
    assert stars[star][inside].mean() == pytest.approx(mean, abs=0.01)


def test_wavelengths_are_in_vacuum(grid: xr.Dataset, wavelength: np.ndarray) -> None:
    near = np.abs(wavelength - LINES["Ca 8542"]) < 0.1
    flux = grid["flux_normalized"].sel(teff=4500, logg=2, feh=-1, alpha=0.25).values
    deepest = wavelength[near][np.argmin(flux[near])]
    assert abs(deepest - LINES["Ca 8542"]) < 0.015


def test_triplet_lines_have_their_order(grid, nodes, wavelength) -> None:
    first, second, third = (
        depth(nodes, wavelength, line) for line in ("Ca 8498", "Ca 8542", "Ca 8662")
    )
    assert (second > third).all()
    in_order = third > first
    # TiO fills the metal-rich M stars: there its bands, not calcium, set the two weaker depths
    assert in_order[:, :, grid["feh"].values <= 0].all()
    assert in_order[grid["teff"].values >= 4000].all()


def test_calcium_rises_with_metallicity_in_warm_stars(grid, nodes, wavelength) -> None:
    warm = grid["teff"].values >= 4000
    widths = equivalent_width(nodes[warm], wavelength)
    assert (np.diff(widths[:, :, :7], axis=2) > 0).mean() > 0.98  # [M/H] up to 0.5
    alpha0 = widths[:, :, :7, 1]
    assert (np.diff(alpha0, axis=2) > 0).all()


def test_calcium_is_stronger_in_supergiants(grid, wavelength) -> None:
    for feh in (-1.5, -0.5, 0.0):
        giants = interpolate_grid(grid, teff=4600.0, logg=np.array([0.5, 2.5]), feh=feh, alpha=0.0)
        low, high = equivalent_width(
            degrade(giants["flux_normalized"].values, wavelength, 20000, 5000), wavelength
        )
        assert low > high


@pytest.mark.parametrize("teff", [4000.0, 4500.0, 5000.0])
@pytest.mark.parametrize("feh", [-1.0, 0.0])
def test_sodium_tells_dwarfs_from_giants(grid, wavelength, teff: float, feh: float) -> None:
    pair = interpolate_grid(grid, teff=teff, logg=np.array([2.5, 4.5]), feh=feh, alpha=0.0)
    flux = degrade(pair["flux_normalized"].values, wavelength, 20000, 5000)
    for line in ("Na 8183", "Na 8195"):
        giant, dwarf = depth(flux, wavelength, line)
        assert dwarf >= 1.4 * giant


def test_alpha_deepens_its_own_lines_and_leaves_iron(grid, wavelength) -> None:
    pair = interpolate_grid(grid, teff=4300.0, logg=2.0, feh=-0.5, alpha=np.array([0.0, 0.4]))
    flux = degrade(pair["flux_normalized"].values, wavelength, 20000, 5000)
    for line in ("Ca 8498", "Ca 8542", "Ca 8662", "Mg 8807"):
        plain, enhanced = depth(flux, wavelength, line)
        assert enhanced > plain
    plain, enhanced = depth(flux, wavelength, "Fe 8689")
    assert abs(enhanced - plain) < 0.03
    forest = (wavelength > 790) & (wavelength < 810)  # CN goes the other way
    assert flux[1, forest].mean() > flux[0, forest].mean()


def test_titanium_oxide_appears_in_cool_stars_only(grid, nodes, wavelength) -> None:
    step = xr.DataArray(
        tio_step(nodes, wavelength), coords={n: grid[n] for n in ("teff", "logg", "feh", "alpha")}
    )
    normal = {"alpha": 0.0}
    assert step.sel(teff=slice(4500, 5000), feh=slice(-2.5, -0.5), **normal).min() > 0.93
    assert step.sel(teff=slice(4500, 5000), logg=slice(3, 5), feh=0.0, **normal).min() > 0.93
    assert step.sel(teff=slice(4500, 5000), logg=slice(0, 2), feh=0.0, **normal).min() > 0.90
    assert step.sel(teff=slice(3750, 5000), feh=-2.0, **normal).min() > 0.95
    assert step.sel(teff=3500, feh=-2.0, **normal).min() > 0.93  # supergiants keep a little
    assert step.sel(teff=3500, feh=0.5, **normal).min() < 0.25
    middle = interpolate_grid(grid, teff=3950.0, logg=np.array([1.0, 4.5]), feh=0.0, alpha=0.0)
    cool = interpolate_grid(grid, teff=3525.0, logg=np.array([1.0, 4.5]), feh=0.0, alpha=0.0)
    for star, low, high in ((middle, 0.75, 0.90), (cool, 0.30, 0.40)):
        flux = degrade(star["flux_normalized"].values, wavelength, 20000, 5000)
        found = tio_step(flux, wavelength)
        assert ((found > low) & (found < high)).any(), found


def planck_flux(wavelength_nm: float, teff: np.ndarray) -> np.ndarray:
    """pi B, erg s-1 cm-2 AA-1."""
    metre = wavelength_nm * 1e-9
    h, c, k = 6.62607015e-34, 2.99792458e8, 1.380649e-23
    radiance = 2 * h * c**2 / metre**5 / np.expm1(h * c / (metre * k * teff))  # W m-3 sr-1
    return np.pi * radiance * 1e3 * 1e-10  # W m-2 = 1e3 erg s-1 cm-2; per m → per A


def test_continuum_is_near_that_of_a_black_body(grid: xr.Dataset) -> None:
    teff = grid["teff"].values
    continuum = continuum_on(grid, np.array([800.0]))[..., 0]
    everywhere = continuum / planck_flux(800.0, teff)[:, None, None, None]
    warm = teff >= 3900
    assert everywhere[warm].min() > 0.85
    ratio = everywhere[:, :, grid["feh"].values <= 0, 1]  # structures that are not extrapolated
    assert ratio[warm].max() < 1.2
    assert ratio[~warm].max() < 1.4
    assert (np.diff(continuum, axis=0) > 0).all()


def test_normalised_flux_is_a_true_continuum_fraction(grid, wavelength) -> None:
    flux = grid["flux_normalized"].values
    assert np.isfinite(flux).all()
    assert flux.min() > 0
    assert flux.max() <= 1.001
    warm = grid["teff"].values >= 4200
    ordinary = flux[warm][:, :, grid["feh"].values <= 0, 1]  # [alpha/M] = 0
    for low in range(672, 900, 10):
        stretch = ordinary[..., (wavelength >= low) & (wavelength < low + 10)]
        assert np.percentile(stretch, 99, axis=-1).min() >= 0.96


def test_left_out_nodes_are_predicted(grid: xr.Dataset) -> None:
    errors = {error.axis: error for error in leave_one_out(grid)}
    for axis in ("teff", "logg", "feh"):
        assert errors[axis].warm.rms < 0.005, axis
    assert np.isfinite(errors["alpha"].warm.rms)
    assert errors["teff"].warm.nodes == 4 * 6 * 8 * 4
