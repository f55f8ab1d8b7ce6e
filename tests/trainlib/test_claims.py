"""What the verdict says of made-up results: where a claim holds, fails or cannot be judged."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from trainlib.evaluation.claims import Told, best_baseline, claims, in_a_sentence

ROWS = 2000


def results_of(network: float, snr: tuple[float, float] = (5.1, 79.0), rows: int = ROWS,
               floor: float = 0.004) -> xr.Dataset:  # fmt: skip
    """Return results whose errors are those of the network, and fixed ones of the others."""
    dice = np.random.default_rng(1)
    means = {"none": 0.1, "pca": 0.03, "wiener": 0.012, "dae": network}
    scatter = dice.normal(1.0, 0.02, (len(means), rows))
    errors = np.array(list(means.values()))[:, np.newaxis] * scatter
    spectrum = {
        "snr": np.geomspace(*snr, rows), "teff": dice.uniform(3500, 5000, rows),
        "logg": dice.uniform(0, 5, rows), "feh": dice.uniform(-2.5, 0.75, rows),
        "alpha": dice.uniform(-0.25, 0.5, rows), "floor": np.full(rows, floor),
        "interpolated_axis": np.arange(rows) % 4,
    }  # fmt: skip
    return xr.Dataset(
        {name: ("spectrum", values) for name, values in spectrum.items()}
        | {
            "mean_abs_relative_error": (("method", "spectrum"), errors),
            "mean_relative_error": (("method", "spectrum"), 0.05 * errors),
            "cpu_ms": ("method", np.array([0.0, 1.0, 4.0, 2.0])),
        },
        coords={"method": list(means)},
    )


def examples_of(new: float, deeper: float) -> xr.Dataset:
    """Return examples of which lines come back so far."""
    return xr.Dataset(
        {"new_line": ("example", np.full(40, new)), "deeper_line": ("example", np.full(40, deeper))}
    )


def trust_of(
    pixels: float = 0.68, redshift: float = 0.68, found: float = 0.95, alarms: float = 0.007,
    refused: float = 0.99, count: int = 1500,
) -> dict[str, Any]:  # fmt: skip
    """Return what is told of errors and verdicts: half of the bins are as given, half right."""

    def part(low: float, share: float, z: float) -> dict[str, Any]:
        told = {"within_68": share, "within_68_95": [share - 0.01, share + 0.01],
                "within_95": share + 0.27}  # fmt: skip
        return {"snr_low": low, "count": count, "pixels": {"told": told, "calibrated": told},
                "redshift": {"calibrated": {"within_68": z}}}  # fmt: skip

    def line(low: float) -> dict[str, Any]:
        return {"snr_low": low, "count": count, "false_alarms": {"share": alarms},
                "found": {"share": found, "share_95": [found - 0.01, found + 0.01]},
                "detected": {"share": 1.0}, "auc": 1.0}  # fmt: skip

    other = {"snr_low": 20.0, "count": count, "false_alarms": {"share": alarms}, "auc": 0.99,
             "detected": {"share": refused}}  # fmt: skip
    return {
        "all": part(0.0, 0.68, 0.68),
        "bins": [part(5.0, 0.68, 0.5), part(10.0, pixels, redshift)],
        "strangers": {"new line": [line(10.0), line(20.0), line(0.0)],
                      "galaxy": [other], "blank sky": [other | {"detected": {"share": 1.0}}]},
    }  # fmt: skip


def outcomes(
    results: xr.Dataset, examples: xr.Dataset, trust: dict[str, Any] | None = None
) -> dict[str, str]:
    return {row.text: row.outcome for row in claims(results, examples, trust)}


def test_a_good_network_holds_and_a_bad_one_fails_by_the_same_rules() -> None:
    good = outcomes(results_of(0.005), examples_of(0.03, 0.4), trust_of())
    assert set(good.values()) <= {"holds", "better"} and len(good) == 15
    bad = outcomes(results_of(0.05), examples_of(0.2, 0.6))
    fails = {text for text, outcome in bad.items() if outcome == "fails"}
    assert {text.split()[0] for text in fails} == {"At", "A", "Close", "Errors"}
    assert len(fails) == 6
    assert "The mean error stays within a decade for 10 < S/N < 120" not in fails


def test_what_too_few_spectra_tell_is_not_judged() -> None:
    few = outcomes(results_of(0.005, rows=16), examples_of(np.nan, np.nan))
    assert few.pop("Evaluated in a few milliseconds") == "holds"
    assert set(few.values()) == {"unknown"}
    assert not any("error that is told" in text for text in few)  # it tells none
    told = outcomes(results_of(0.005), examples_of(0, 0), trust_of(count=60))
    assert told["The error that is told of a pixel is right"] == "unknown"
    assert told["The error that is told of a redshift is right"] == "unknown"
    assert told["What is no such star is refused"] == "unknown"


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"pixels": 0.655}, {"The error that is told of a pixel is right"}),
        ({"pixels": 0.697}, {"The error that is told of a pixel is right"}),  # of 95 %, 96.7 %
        ({"redshift": 0.63}, {"The error that is told of a redshift is right"}),
        ({"found": 0.89}, {"A line that no star has is told"}),
        ({"refused": 0.8}, {"What is no such star is refused"}),
        ({"alarms": 0.011},
         {"A line that no star has is told", "What is no such star is refused"}),
    ],
)  # fmt: skip
def test_errors_and_verdicts_hold_in_every_bin_and_with_few_false_alarms(change, failing) -> None:
    rows = claims(results_of(0.005), examples_of(0.03, 0.4), trust_of(**change))
    assert {row.text for row in rows if row.outcome == "fails"} == failing
    beside = [str(row.baseline) for row in rows if row.baseline.of == "of clean spectra refused"]
    assert beside == [f"{100 * change.get('alarms', 0.007):.2f} %"] * 2
    worst = next(row for row in rows if row.text == "What is no such star is refused")
    assert worst.ours.of == "galaxy" and "blank sky 100.0%" in worst.note


def test_a_contrast_counts_only_what_was_interpolated_along_it() -> None:
    results = results_of(0.005)
    at_end = np.abs(results["logg"].values - 2.5) > 2.0
    others = at_end & (results["interpolated_axis"].values != 1)
    results["mean_abs_relative_error"].values[-1, others] *= 50
    assert outcomes(results, examples_of(0, 0))["Extreme log g is a few times worse"] == "better"
    mine = at_end & (results["interpolated_axis"].values == 1)
    results["mean_abs_relative_error"].values[-1, mine] *= 50
    assert outcomes(results, examples_of(0, 0))["Extreme log g is a few times worse"] == "holds"


def test_the_sentence_begins_where_errors_stay_small_up_to_the_brightest() -> None:
    results = results_of(0.005)
    faint = results["snr"].values < 7.0
    results["mean_abs_relative_error"].values[-1, faint] = 0.02
    told = in_a_sentence(results, claims(results, examples_of(0.03, 0.4)))
    assert told.startswith("From S/N 7 up the mean error is below 1 %.")
    assert "What no training star shows" in told
    bright = results["snr"].values >= 40.0
    results["mean_abs_relative_error"].values[-1, bright] = 0.02
    told = in_a_sentence(results, claims(results, examples_of(0.3, 0.4)))
    assert (
        told.startswith("In no range of S/N")
        and "“A line that no star has is not returned”" in told
    )


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (Told(0.00512, error=0.0001), "0.51 ± 0.01 %"), (Told(1.5, "×"), "1.50 ×"),
        (Told(None), "–"), (Told(float("nan"), "ms"), "–"), (Told(7.0, "bins"), "7"),
    ],
)  # fmt: skip
def test_a_number_stands_with_its_error_and_unit(told: Told, text: str) -> None:
    assert str(told) == text


def test_what_was_judged_on_some_spectra_only_is_no_baseline() -> None:
    whole = results_of(0.005)
    few = whole.reindex({"method": ["fit", *whole["method"].values]})
    few["mean_abs_relative_error"].loc[{"method": "fit", "spectrum": slice(0, 9)}] = 1e-4
    few["mean_relative_error"].loc[{"method": "fit", "spectrum": slice(0, 9)}] = 0.0
    assert best_baseline(few) == best_baseline(whole) == "wiener"
    examples = examples_of(0.03, 0.4)
    assert outcomes(few, examples) == outcomes(whole, examples)


def partly_judged(name: str, ratio: float) -> xr.Dataset:
    """Return results with a method that was judged on every third spectrum, which are hard.

    ratio: its error over the network's there.
    """
    results = results_of(0.005)
    results["mean_abs_relative_error"].values[-1, ::3] *= 4.0
    wider = results.reindex({"method": [*results["method"].values, name]})
    hard = results["mean_abs_relative_error"].sel({"method": "dae"}).values[::3]
    wider["mean_abs_relative_error"].loc[{"method": name, "spectrum": slice(None, None, 3)}] = (
        ratio * hard
    )
    return wider


@pytest.mark.parametrize(("name", "ratio", "outcome"), [
    ("template", 1.1, "holds"), ("template", 0.9, "fails"), ("fit", 0.5, "holds"),
    ("polished", 0.5, "holds"),
])  # fmt: skip
def test_what_was_judged_on_some_spectra_is_a_rival_on_these(
    name: str, ratio: float, outcome: str
) -> None:
    found = outcomes(partly_judged(name, ratio), examples_of(0.03, 0.4))
    assert found["A network does better than what needs none"] == outcome
