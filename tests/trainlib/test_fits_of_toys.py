"""Fits beside a network, both made up: what is stored of each start and what is told of that."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from trainlib.evaluation import fits as module
from trainlib.evaluation.evaluate import _with_fits
from trainlib.evaluation.fits import Fits, judge_fits
from trainlib.evaluation.metrics import MEASURES, SPREADS, Measures, measure
from trainlib.evaluation.parts import REASON, SUM, named
from trainlib.training.augment import Batch

ROWS, FLOOR = 3, 0.02


class Naming(torch.nn.Module):
    """Gives spectra, and names stars of which it knows all but the reddening."""

    def denoise(self, noisy: torch.Tensor, variance: torch.Tensor) -> Any:
        stars = np.arange(4.0 * ROWS).reshape(ROWS, 4)
        return SimpleNamespace(flux=0.75 * noisy.numpy(), stars=stars, redshift=np.full(ROWS, 0.5))


def fitted(begun: np.ndarray, flux: np.ndarray) -> Any:
    """Return what a fit might come to, told apart by where it began."""
    of_start = begun[:, 0] + np.arange(ROWS)
    return SimpleNamespace(
        evaluations=of_start + 1.0, objective=of_start + 2.0, is_converged=of_start > 1.0,
        spectra=flux * (1.0 + 0.01 * begun[:, :1]),
    )  # fmt: skip


@pytest.mark.parametrize("model", [Naming(), torch.nn.Identity()], ids=["naming", "silent"])
def test_each_fit_is_of_its_start_and_judged_against_the_noiseless_spectrum(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, noisy = np.linspace(0.5, 1.5, 30).reshape(ROWS, 10), np.full((ROWS, 10), 1.25)
    variance = np.full((ROWS, 10), 0.01)
    truth, cold = np.full((ROWS, 6), 7.0), np.full((ROWS, 6), 9.0)
    asked: list[np.ndarray] = []

    def polish(of: str, flux: np.ndarray, var: np.ndarray, made: np.ndarray, stars: Any) -> Any:
        asked.append(stars)
        assert np.array_equal(made, 0.75 * flux) and np.array_equal(var, variance_given)
        return SimpleNamespace(fit=fitted(stars, flux), spectra=made, is_accepted=stars[:, 0] > 1.0)

    batch = Batch(*(torch.from_numpy(x).float() for x in (target, noisy, variance)))
    flux_given, variance_given = batch.noisy.numpy(), batch.variance.numpy()
    monkeypatch.setattr(module, "RestFrameNetwork", Naming)
    monkeypatch.setattr(module, "cold_start", lambda library, flux, var: cold)
    monkeypatch.setattr(module, "fit_spectra", lambda of, flux, var, begun: fitted(begun, flux))
    monkeypatch.setattr(module, "polish", polish)
    library: Any = SimpleNamespace(evaluations=904)
    found = judge_fits("problem", library, model, batch, truth, FLOOR)  # type: ignore[arg-type]
    told = Fits(found)
    assert len(told) == ROWS and found["templates"].tolist() == ROWS * [904]
    begun = {"cold": cold, "truth": truth}
    spectra = {"fit_": flux_given * 1.09}
    if isinstance(model, Naming):
        assert np.array_equal(asked[0][:, :5], model_says(model, batch))
        assert np.isnan(asked[0][:, 5]).all() and asked[0].shape == (ROWS, 6)
        begun = {"cold": cold, "dae": asked[0], "truth": truth}
        spectra["polished_"] = 0.75 * flux_given
        assert found["is_accepted"].tolist() == [False, True, True]
    assert told.starts == list(begun) and set(told.judged) == {one[:-1] for one in spectra}
    for start, where in begun.items():
        for name, values in vars(fitted(where, flux_given)).items():
            assert name == "spectra" or np.array_equal(found[f"{start}_{name}"], values)
    for prefix, made in spectra.items():
        expected = vars(measure(torch.from_numpy(made), batch.target, FLOOR))
        for name, values in expected.items():
            np.testing.assert_allclose(found[f"{prefix}{name}"], values, rtol=1e-5)


def model_says(model: Naming, batch: Batch) -> np.ndarray:
    said = model.denoise(batch.noisy, batch.variance)
    return np.concatenate([said.stars, said.redshift[:, np.newaxis]], axis=1)


def test_a_table_of_fits_is_told_in_their_own_figures() -> None:
    rows = 4
    objective = {"cold": [10.0, 20.0, 33.0, 40.5], "dae": [10.5, 20.0, 30.0, 40.0],
                 "truth": [11.5, 20.5, 30.5, 42.0]}  # fmt: skip
    found: dict[str, Any] = {
        "templates": np.full(rows, 904), "is_accepted": np.array([True, True, False, True]),
    }  # fmt: skip
    for number, (name, values) in enumerate(objective.items(), start=1):
        found |= named(f"{name}_", {
            "objective": np.array(values), "evaluations": number * np.array([1.0, 2.0, 3.0, 6.0]),
            "is_converged": np.arange(rows) >= number,
        })  # fmt: skip
    seconds = {"grid": 0.1, "cold": 0.4, "truth": 0.2, "network": 0.02, "dae": 0.06}
    found |= {f"{name}_seconds{SUM}": np.array(one) for name, one in seconds.items()}
    made = {name: np.full(rows, 0.5) for name in (one.name for one in fields(Measures))}
    told = Fits(found | named("fit_", made) | named("polished_", made))
    assert {name: ms for name, (_, ms) in told.judged.items()} == {
        "fit": pytest.approx(100.0), "polished": pytest.approx(20.0)
    }  # fmt: skip
    assert np.array_equal(told.by_start("objective"), list(objective.values()))
    table = told.table
    assert {name: one["wrong"] for name, one in table.items()} == {
        "cold": 0.25, "dae": 0.0, "truth": 0.5
    }  # fmt: skip
    assert {name: one["evaluations"] for name, one in table.items()} == {
        "cold": 3.0, "dae": 6.0, "truth": 9.0
    }  # fmt: skip
    assert {name: one["not_converged"] for name, one in table.items()} == {
        "cold": 0.25, "dae": 0.5, "truth": 0.75
    }  # fmt: skip
    assert {name: one["ms"] for name, one in table.items()} == pytest.approx(
        {"cold": 100.0, "dae": 15.0, "truth": 50.0}
    )
    # Wilson's interval of 1 in 4 by its formula
    share, z = 0.25, 1.959964
    middle = (share + z**2 / 8) / (1 + z**2 / 4)
    half = z / (1 + z**2 / 4) * np.sqrt(share * (1 - share) / 4 + z**2 / 64)
    assert table["cold"]["wrong_95"] == pytest.approx([middle - half, middle + half])
    assert (table["cold"]["templates"], table["cold"]["grid_ms"]) == (904, pytest.approx(25.0))
    assert (table["dae"]["accepted"], table["dae"]["network_ms"]) == (0.75, pytest.approx(5.0))


def test_what_was_fitted_stands_beside_all_results(caplog: pytest.LogCaptureFixture) -> None:
    rows, fitted_rows = 5, 3
    wide = {field.name: ("method", "spectrum") for field in fields(Measures)}
    results = xr.Dataset(
        {name: (dims, np.ones((1, rows))) for name, dims in wide.items() if name in MEASURES}
        | {name: (("method", "spectrum", "percentile"), np.ones((1, rows, 4))) for name in SPREADS}
        | {"cpu_ms": ("method", [1.0])},
        coords={"method": np.array(["dae"], dtype=object)},
    )
    made = {name: np.full(fitted_rows, 0.5) for name in MEASURES}
    made |= {name: np.full((fitted_rows, 4), 0.25) for name in SPREADS}
    found: dict[str, Any] = named("fit_", made) | {"templates": np.full(fitted_rows, 904)}
    for number, name in enumerate(("cold", "truth"), start=1):
        found |= named(f"{name}_", {
            "objective": number * np.arange(1.0, 4.0), "evaluations": number * np.ones(3),
            "is_converged": np.ones(3, dtype=bool),
        })  # fmt: skip
    found |= {f"{name}_seconds{SUM}": np.array(0.03) for name in ("grid", "cold", "truth")}
    wider, told = _with_fits(results, found)
    assert told == {"fit": {"spectra": 3, "starts": Fits(found).table}}
    assert list(wider["method"].values) == ["dae", "fit"]
    assert list(wider["start"].values) == ["cold", "truth"]
    none = [np.nan, np.nan]
    expected = [[1.0, 2.0, 3.0, *none], [2.0, 4.0, 6.0, *none]]
    assert np.array_equal(wider["fit_objective"].values, expected, equal_nan=True)
    assert wider["fit_evaluations"].dims == ("start", "spectrum")
    error = wider["mean_abs_relative_error"].sel({"method": "fit"}).values
    assert np.array_equal(error, [0.5, 0.5, 0.5, *none], equal_nan=True)
    assert float(wider["cpu_ms"].sel({"method": "fit"})) == pytest.approx(10.0)
    assert _with_fits(results, None) == (results, {})
    assert _with_fits(results, {REASON: np.array("no grid")})[1] == {}
    assert caplog.messages == ["no fits: no grid"]
