"""A replayed row: its numbers hang together, and its figure shows every step with its unit."""

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import CubicSpline

from simlib.dataset.replay import COUNTS, replay
from simlib.dataset.replay_figure import draw_replay
from tests.simlib.dataset.toy_build import build

STEPS = ("template", "Doppler shift, dust", "line spread, pixels", "counts", "variance",
         "as stored: flux and variance")  # fmt: skip


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return replay(build(tmp_path_factory.mktemp("data"), "dataset.mode=endless"), "train", 299)


def test_the_counts_give_the_photon_part_of_the_variance(steps: xr.Dataset) -> None:
    """What is left, read-out and sky subtraction, is positive and nowhere below the read-out's."""
    exposures = float(steps["exposure_count"])
    assert (exposures, float(steps["exposure_time_s"])) == (20.0, 900.0)
    conversion = steps["source_e"].values / steps["sampled"].values
    photons = sum(steps[name].values for name in COUNTS)
    left = steps["variance_physical"].values * exposures * conversion**2 - photons
    brightest = steps["sky_lines_e"].values.argmax()
    sky = sum(steps[name].values for name in ("sky_continuum_e", "sky_lines_e", "moon_e"))
    assert left.min() > 0
    assert left[brightest] / (exposures * (0.01 * sky[brightest]) ** 2) == pytest.approx(1, rel=0.1)


def test_convolution_and_sampling_agree_where_points_meet(steps: xr.Dataset) -> None:
    there = np.isfinite(steps["convolved"].values)
    curve = CubicSpline(
        steps["wavelength_observed"].values[there], steps["convolved"].values[there]
    )
    between = curve(steps["wavelength"].values)
    inner = slice(5, -5)
    assert np.allclose(between[inner], steps["sampled"].values[inner], rtol=1e-3)


def test_the_figure_shows_every_step_with_its_unit_as_a_whole_and_close_up(
    steps: xr.Dataset,
) -> None:
    figure = draw_replay(steps)
    panels = np.array(figure.axes[:12]).reshape(6, 2)
    for row, title in zip(panels, STEPS, strict=True):
        for axes in row:
            assert axes.get_title("left").split("  ")[1] == title
            assert axes.get_ylabel()
        whole, close = (np.ptp(axes.get_xlim()) for axes in row)
        assert close < 3.1 and whole > 100
    assert [text.get_text() for text in panels[3, 0].get_legend().get_texts()] == [
        "star", "sky continuum", "sky lines", "moonlight", "stray light", "dark current",
    ]  # fmt: skip
    heading = figure.get_suptitle()
    assert "train 299" in heading and "20 exposures of 900 s" in heading and "S/N" in heading


@pytest.mark.parametrize("pixel", [0, 4095])
def test_the_close_up_stays_in_the_arm(steps: xr.Dataset, pixel: int) -> None:
    moved = steps.copy(deep=True)
    moved["flux"][pixel] = 0.0
    low, high = draw_replay(moved).axes[11].get_xlim()
    assert high - low == pytest.approx(3.0)
    assert low >= float(steps["wavelength"][0]) - 1e-9
    assert high <= float(steps["wavelength"][-1]) + 1e-9


def test_legends_cover_no_title(steps: xr.Dataset) -> None:
    figure = draw_replay(steps)
    figure.draw_without_rendering()
    for axes in figure.axes[0:12:2]:
        title = axes._left_title.get_window_extent()  # type: ignore[attr-defined]
        legend = axes.get_legend()
        assert legend is not None
        assert legend.get_window_extent().x0 > title.x1
