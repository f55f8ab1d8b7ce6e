"""What no training star is: strangers in the place of clean spectra."""

import numpy as np
import pytest

from simlib.stellar.grid import open_grid
from tests.trainlib.toy_dataset import toy_split
from trainlib.evaluation.strangers import KINDS, LINES, SKY, places, stranger


@pytest.fixture(scope="module")
def here():
    spectra = toy_split(6, 700, 1)
    flux, redshift = spectra["flux"].values, spectra["redshift"].values.astype(float)
    return places(flux, spectra["wavelength"].values, redshift, open_grid("toy"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_has_the_place_of_a_star_and_is_another(kind, here):
    made = stranger(kind, here, 5)
    assert made.shape == here.flux.shape and made.dtype == np.float32
    assert np.array_equal(made, stranger(kind, here, 5))
    if kind == SKY:
        assert not made.any()
        return
    assert np.isfinite(made).all() and (made > 0.0).all()
    assert np.allclose(np.median(made, axis=1), np.median(here.flux, axis=1), rtol=0.02)
    changed = np.abs(made / here.flux - 1.0)
    if kind in LINES:
        line, depth = LINES[kind]
        at = np.abs(here.wavelength - line * (1.0 + here.redshift[:, np.newaxis])).argmin(axis=1)
        deepest = changed.max(axis=1)  # of pixels four times as wide as the instrument's
        assert (deepest < depth + 1e-3).all() and (deepest > 0.3 * depth).all()
        assert (np.abs(changed.argmax(axis=1) - at) <= 1).all()
        assert (np.median(changed, axis=1) < 1e-3).all()
    else:
        assert not np.array_equal(made, stranger(kind, here, 6))
        assert (changed.mean(axis=1) > 0.02).all()


def test_a_hot_star_shows_hydrogen_and_a_cool_one_bands(here):
    rest = here.wavelength / (1.0 + here.redshift[:, np.newaxis])
    paschen = np.abs(rest - 875.29) < 0.3
    beside = np.abs(rest - 870.5) < 0.6
    hot, cool = stranger("hotter star", here, 1), stranger("cooler star", here, 1)
    assert hot[paschen].mean() < 0.95 * hot[beside].mean()
    before, behind = np.abs(rest - 765.0) < 0.5, np.abs(rest - 768.0) < 0.5
    assert cool[behind].mean() < 0.85 * cool[before].mean()
