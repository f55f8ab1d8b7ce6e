"""Shares with their intervals, and the area under the curve, of made-up judgements."""

import numpy as np
import pytest
import xarray as xr

from trainlib.evaluation.trust_numbers import summarise_trust

ROWS = 800


@pytest.fixture(scope="module")
def judged() -> tuple[xr.Dataset, np.ndarray]:
    dice = np.random.default_rng(3)
    snr = np.where(np.arange(ROWS) < 400, 8.0, 30.0)
    centre = np.array([[0.6, 0.9], [0.68, 0.95]])[..., np.newaxis]
    within = centre + dice.normal(0.0, 0.1, (2, 2, ROWS))
    strange = np.stack([np.full(200, np.inf), dice.uniform(0.0, 2.0, 200)])
    found = np.stack([np.zeros(200), np.arange(200) % 4 > 0])
    returned = np.stack([np.full(200, np.nan), np.full(200, 0.07)])
    spectrum = ("spectrum",)
    data = {
        "within": (("stage", "level", "spectrum"), within),
        "redshift_within": (("stage", "level", "spectrum"), np.ones((2, 2, ROWS), np.int8)),
        "star_within": (("level", "axis", "spectrum"), np.zeros((2, 4, ROWS), np.int8)),
        "odd": (("measure", "spectrum"), np.tile(np.linspace(0.0, 1.0025, ROWS), (4, 1))),
        "suspicion": (spectrum, np.linspace(0.0, 1.0025, ROWS)),
        "strange": (("kind", "stranger"), strange),
        "found": (("kind", "stranger"), found),
        "returned": (("kind", "stranger"), returned),
    }
    coords = {
        "axis": ["teff", "logg", "feh", "alpha"], "kind": ["sky", "new line"],
        "measure": ["misfit", "runs", "features", "distance"],
    }  # fmt: skip
    return xr.Dataset(data, coords=coords, attrs={"rows": 500, "bins": 5}), snr


def test_shares_and_their_intervals_are_of_the_spectra_of_a_bin(judged) -> None:
    told = summarise_trust(*judged)
    trust, snr = judged
    assert told["calibration"] == {"spectra": 500, "bins": 5}
    counts = {part["snr_low"]: part["count"] for part in told["bins"]}
    assert counts[7.0] == counts[20.0] == 400 and sum(counts.values()) == ROWS
    part = next(one for one in told["bins"] if one["snr_low"] == 7.0)
    for stage, number in (("told", 0), ("calibrated", 1)):
        for level, place in ((68, 0), (95, 1)):
            values = trust["within"].values[number, place, snr == 8.0]
            assert part["pixels"][stage][f"within_{level}"] == pytest.approx(values.mean())
            low, high = part["pixels"][stage][f"within_{level}_95"]
            error = values.std() / np.sqrt(values.size)
            assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.15)
            assert low < values.mean() < high
    assert part["redshift"]["calibrated"]["within_68"] == 1.0
    assert 0.98 < part["redshift"]["calibrated"]["within_68_95"][0] < 1.0
    assert part["stars"]["feh"] == {"within_68": 0.0, "within_95": 0.0}
    empty = next(one for one in told["bins"] if one["snr_low"] == 40.0)
    assert empty["pixels"]["told"]["within_68"] is None
    assert empty["false_alarms"] == {"share": None, "share_95": None}


def test_detections_stand_beside_the_false_alarms_of_the_same_snr(judged) -> None:
    told = summarise_trust(*judged)
    alarms = told["all"]["false_alarms"]["share"]
    assert alarms == pytest.approx(2 / ROWS)
    sky, line = told["strangers"]["sky"], told["strangers"]["new line"]
    assert [part["count"] for part in sky] == [0, 200, 0, 0, 200]
    assert sky[-1]["detected"]["share"] == sky[-1]["auc"] == 1.0
    assert sky[1]["false_alarms"]["share"] == 0.0 and sky[3]["false_alarms"]["share"] == 2 / 400
    assert sky[0]["auc"] is None and "found" not in sky[-1]
    assert line[1]["found"]["share"] == 0.75 and line[1]["returned"] == pytest.approx(0.07)
    assert 0.4 < line[-1]["detected"]["share"] < 0.6 and 0.65 < line[-1]["auc"] < 0.85
