"""The forecast at given conditions is what the simulator makes of as many exposures."""

import math

import numpy as np
import pytest
import xarray as xr

from simlib.config import NEWEST_INSTRUMENT, SimulationConfig
from simlib.errors import InputError
from simlib.etc.conditions import NEEDED
from simlib.instrument import load_instrument
from simlib.noise import median_signal_to_noise
from simlib.parameters import draw_parameters
from simlib.simulation.simulate import simulate, stacked_variance, terms_at, with_noise
from simlib.stellar.grid import open_grid
from simlib.units import ab_flux
from trainlib.onsky.forecast import Forecast, forecast_at

SKY = {"seeing": 0.8, "zenith_angle": 30.0, "field_angle": 0.3, "moon_zenith_angle": 50.0,
       "moon_target_angle": 60.0, "moon_phase": 0.2}  # fmt: skip
WAVELENGTH = load_instrument(NEWEST_INSTRUMENT).wavelength


def simulated(magnitude: float, counts: list[int], seconds: float = 900.0, **other: float):
    """Return the S/N of a red star with lines as the simulator has it, stacks of some exposures."""
    config = SimulationConfig()
    slope = (WAVELENGTH / 800.0) ** 2 * (1.0 - 0.4 * (np.sin(3.0 * WAVELENGTH) > 0.9))
    flux = ab_flux(magnitude, WAVELENGTH) * slope
    rows = xr.Dataset(
        {
            name: ("spectrum", np.full(len(counts), value))
            for name, value in (SKY | other | {"exposure_time_s": seconds}).items()
        }
    )
    rows["exposure_count"] = ("spectrum", counts)
    terms = terms_at(rows, load_instrument(NEWEST_INSTRUMENT), config)
    return with_noise(
        np.tile(flux, (len(counts), 1)), np.ones(len(counts)), rows, terms, config
    ).snr


@pytest.fixture(scope="module")
def forecast() -> Forecast:
    return forecast_at(SKY)


@pytest.mark.parametrize("magnitude", [18.0, 21.0, 23.5])
@pytest.mark.parametrize("seconds", [120.0, 900.0])
def test_a_forecast_is_the_simulators_signal_to_noise_of_more_exposures(
    forecast, magnitude, seconds
):
    counts = [2, 3, 5, 12, 40]
    snr = simulated(magnitude, counts, seconds)
    for count, expected in zip(counts, snr, strict=True):
        found = forecast.after(snr[0], 2, seconds, count - 2)
        assert found == pytest.approx(expected, rel=0.05)
        if count > 2:
            more = forecast.needed(expected, snr[0], 2, seconds)
            assert more == pytest.approx(count - 2, rel=0.1, abs=1.01)
    assert forecast.needed(0.5 * snr[0], snr[0], 2, seconds) == 0


def test_it_knows_that_errors_that_exposures_share_set_a_limit(forecast):
    two, many = simulated(23.5, [2, 1000])
    found = forecast.after(two, 2, 900.0, 998)
    assert found == pytest.approx(many, rel=0.1)
    assert found < 0.6 * two * math.sqrt(500.0)  # which noise alone would bring
    assert forecast.needed(3.0 * many, two, 2, 900.0) == math.inf


@pytest.mark.parametrize("magnitude", [20.0, 22.5])
def test_worse_conditions_and_longer_exposures_to_come_are_reckoned_with(magnitude):
    """Of a star of a known magnitude, what was seen well counts for more than its exposures."""
    good, (poor, *_) = simulated(magnitude, [3])[0], simulated(magnitude, [1, 2], seeing=1.4)
    coming = forecast_at(SKY | {"seeing": 1.4}, magnitude=magnitude)
    assert coming.of_time(900.0).count(good, magnitude) > 4.0
    found = coming.after(good, 3, 900.0, 1)
    assert math.hypot(good, 0.7 * poor) < found < math.hypot(good, 1.1 * poor)
    longer = forecast_at(SKY | {"exposure_time_s": 1800.0})
    assert longer.time_s(900.0) == 1800.0
    assert longer.after(good, 3, 900.0, 1) > 1.05 * forecast_at(SKY).after(good, 3, 900.0, 1)


def test_what_is_assumed_is_told_and_a_file_of_one_row_says_it(tmp_path):
    some = forecast_at({"seeing": 0.8})
    assert "seeing 0.8 arcsec," in some.told and "zenith angle 22.5 deg (assumed)" in some.told
    assert NEWEST_INSTRUMENT in some.told and some.time_s(float("nan")) == 900.0
    assert some.time_s(450.0) == 450.0
    head = "seeing_arcsec,zenith_angle_deg,field_angle_deg,moon_zenith_angle_deg," \
           "moon_target_angle_deg,moon_phase,exposure_time_s,exposure_count\n"  # fmt: skip
    row = "0.8,30,0.3,50,60,0.2,450,1\n"
    (tmp_path / "one.csv").write_text(head + row)
    (tmp_path / "two.csv").write_text(head + row + row)
    listed = forecast_at({}, tmp_path / "one.csv")
    assert listed.time_s(900.0) == 450.0 and "assumed" not in listed.told
    same = forecast_at(SKY).of_time(450.0).snr(3.0, 21.0)
    assert listed.of_time(450.0).snr(3.0, 21.0) == pytest.approx(same)
    other = forecast_at({"seeing": 1.6}, tmp_path / "one.csv")
    assert other.of_time(450.0).snr(3.0, 21.0) < same
    with pytest.raises(InputError, match="has 2 conditions; one row was expected"):
        forecast_at({}, tmp_path / "two.csv")
    for given, magnitude, words in (
        ({"seeing": -1.0}, None, "--seeing: seeing is -1 arcsec; it must lie in"),
        ({}, 99.0, "--magnitude: magnitude is 99 mag"),
    ):
        with pytest.raises(InputError, match=words):
            forecast_at(given, magnitude=magnitude)


def test_where_there_is_no_signal_nothing_is_foretold(forecast):
    assert forecast.needed(40.0, float("nan"), 2, 900.0) is None
    assert forecast.needed(40.0, -1.0, 2, 900.0) is None


@pytest.mark.slow
def test_it_holds_for_stars_of_the_grid():
    """Largest deviations seen of eight stars: from two exposures, 0.1 % to three, 1.6 % to 40."""
    config, grid = SimulationConfig(), open_grid("default")
    stars = draw_parameters(config, grid, "test", 0, 8)
    arm = load_instrument(NEWEST_INSTRUMENT)
    spectra = simulate(stars.assign(exposure_count=("spectrum", np.full(8, 2))), grid, arm, config,
                       "reference")  # fmt: skip
    for count in (3, 5, 12, 40):
        variance = stacked_variance(spectra, arm, config, np.full(8, count))
        expected = median_signal_to_noise(spectra["flux"].values, variance)
        for row in range(8):
            sky = {name: float(stars[name][row]) for name in NEEDED}
            found = forecast_at(sky).after(float(spectra["snr"][row]), 2, 900.0, count - 2)
            assert found == pytest.approx(expected[row], rel=0.05)
