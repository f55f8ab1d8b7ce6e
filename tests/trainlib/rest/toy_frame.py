"""A rest frame of 400 pixels and a family of stars in it, drawn from what the statistics say."""

import numpy as np

from trainlib.models.rest_statistics import RestSample, rest_statistics
from trainlib.rest.axis import RestAxis, spline_coefficients
from trainlib.rest.statistics import RestStatistics

AXIS = RestAxis(observed=800.0, rest=798.0, pitch=0.05, pixels=400, points=480)
RANGE = (-6e-4, 6e-4)  # ten pixels
LINES = 24


def curves(rows: int, seed: int) -> np.ndarray:
    """Return rest spectra (rows, points): lines whose strengths follow from four numbers."""
    x = np.arange(AXIS.points)
    fixed = np.random.default_rng(0)
    centres, widths = fixed.uniform(20, 460, (LINES, 1)), fixed.uniform(1.7, 3.0, (LINES, 1))
    mixing = fixed.normal(0.0, 0.04, (4, LINES))
    depth = 0.25 + np.random.default_rng(seed).standard_normal((rows, 4)) @ mixing
    tilt = np.random.default_rng(seed + 1).normal(0.0, 0.05, (rows, 1)) * np.linspace(-1, 1, len(x))
    return 0.5 * (1.0 + tilt) * (1.0 - depth @ np.exp(-0.5 * ((x - centres) / widths) ** 2))


def statistics(rank: int = 6) -> RestStatistics:
    """Return the statistics of a thousand of them."""
    seen = AXIS.scatter(np.ones((1, AXIS.pixels), np.float32), np.zeros(1))
    stars = np.random.default_rng(2).normal(size=(1000, 4)).astype(np.float32)
    shape = np.float32(1.0 + 2.0 * (np.arange(AXIS.pixels) % 50 < 3))
    sample = RestSample(curves(1000, 1).astype(np.float32), np.repeat(seen, 1000, axis=0), stars)
    return rest_statistics(AXIS, RANGE, sample, shape, rank, seed=0)


def observed(
    rows: int, level: float, seed: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return noisy flux, variance and true flux (rows, pixels), and redshifts."""
    draw = np.random.default_rng(seed)
    redshift = draw.uniform(*RANGE, rows)
    flux = AXIS.gather(spline_coefficients(curves(rows, seed + 10)), redshift)
    sigma = level * (1.0 + 2.0 * (np.arange(AXIS.pixels) % 50 < 3)) * np.ones((rows, 1))
    noisy = flux + sigma * draw.standard_normal(flux.shape)
    return noisy.astype(np.float32), np.square(sigma).astype(np.float32), flux, redshift
