"""The embedded grid at the parameters of six stars, against spectra computed there; R = 5000."""

import numpy as np
import pytest
import xarray as xr

from simlib.stellar import interpolate_grid, open_grid
from simlib.stellar.quality.resolution import degrade

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
