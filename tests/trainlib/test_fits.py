"""Fits beside the network: what is stored, told and shown of the first spectra of an evaluation."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from flows.terminal.tables import print_evaluation
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.fit.cold import coarse_library, cold_start
from simlib.fit.problem import stars_of
from simlib.fit.solve import fit_spectra
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.config import Evaluate
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.fits import is_wrong, named_stars
from trainlib.evaluation.floor import fit_problem
from trainlib.evaluation.judging import FIT, Judging
from trainlib.evaluation.parts import Parts, said
from trainlib.evaluation.report import write_report
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import augmenter_of, load_trained
from trainlib.training.data import read_spectra

CPU = torch.device("cpu")
FITTED, ROWS = 10, 24
FEW = {"trust_spectra": 8, "stranger_spectra": 0}


pytestmark = pytest.mark.slow  # a network is trained and judged twice


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("virtual")
    rows = ("dataset.n_train=70", f"dataset.n_validation={ROWS}")
    return build(root, "dataset.mode=virtual", *rows)


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    model = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
    config = toy_config(root, model, recipe="C", batch_size=16, epochs=4)
    return train_here(config, str(place), root / "run")


@pytest.fixture(scope="module")
def judged(trained):
    before = evaluate(trained, section=Evaluate(limit_spectra=0, **FEW))
    return before, evaluate(trained, section=Evaluate(limit_spectra=0, fit_spectra=FITTED, **FEW))


def test_the_first_spectra_are_fitted_and_the_rest_is_as_it_was(trained, judged):
    before, after = judged
    results = read_results(trained).on
    assert list(results["method"].values)[-2:] == ["fit", "polished"]
    for name in ("fit", "polished"):
        error = results["mean_abs_relative_error"].sel({"method": name}).values
        assert np.isfinite(error[:FITTED]).all() and np.isnan(error[FITTED:]).all()
    assert list(results["start"].values) == ["cold", "dae", "truth"]
    for name in ("fit_evaluations", "fit_objective"):
        assert np.isfinite(results[name].values[:, :FITTED]).all()
        assert np.isnan(results[name].values[:, FITTED:]).all()
    counts = [part["methods"]["fit"].get("count", part["count"]) for part in after["bins"]]
    assert sum(counts) == after["fit"]["spectra"] == FITTED
    assert "fit" not in before and "fit" not in after["augmentation_off"]
    for old, new in zip(before["bins"], after["bins"], strict=True):
        assert new["methods"]["dae"] == old["methods"]["dae"]
        assert set(new["methods"]) == {*old["methods"], "fit", "polished"}
    json.dumps(after, allow_nan=False)


def test_they_are_the_fits_of_those_noisy_spectra(trained, judged, place):
    run, results = load_trained(trained), read_results(trained).on
    labels = open_dataset(str(place), "validation")
    spectra = read_spectra(labels, 0, FITTED, CPU)
    batch = augmenter_of(run, "validation", is_on=True)(spectra.flux, spectra.sigma, 0, 0)
    noisy, variance, target = (x.numpy() for x in (batch.noisy, batch.variance, batch.target))
    problem = fit_problem(recipe_of(*published_dataset(place))[0], run.config.augment)
    truth = stars_of(labels.isel(spectrum=slice(FITTED)))
    cold = fit_spectra(problem, noisy, variance,
                       cold_start(coarse_library(problem), noisy, variance))  # fmt: skip
    found = run.model.denoise(batch.noisy, batch.variance)
    named = named_stars(found.stars, found.redshift)
    fits = {"cold": cold, "dae": fit_spectra(problem, noisy, variance, named),
            "truth": fit_spectra(problem, noisy, variance, truth)}  # fmt: skip
    divisor = np.maximum(target, 0.02 * np.median(target, axis=1, keepdims=True))
    error = np.abs((cold.spectra - target) / divisor).mean(axis=1)
    stored = results["mean_abs_relative_error"].sel({"method": "fit"}).values[:FITTED]
    assert np.allclose(stored, error, rtol=1e-3)
    for number, fit in enumerate(fits.values()):
        assert np.allclose(results["fit_objective"].values[number, :FITTED], fit.objective,
                           atol=0.05)  # fmt: skip
    told = judged[1]["fit"]["starts"]
    least = np.minimum.reduce([fit.objective for fit in fits.values()])
    for name, fit in fits.items():
        assert told[name]["evaluations"] == pytest.approx(fit.evaluations.mean(), abs=0.2)
        assert told[name]["wrong"] == np.mean(fit.objective > least + 1.0)
        assert told[name]["wrong_95"][0] <= told[name]["wrong"] <= told[name]["wrong_95"][1]
        assert told[name]["ms"] > 0.0 and told[name]["not_converged"] == 0.0
    assert told["cold"]["templates"] == 8 * 113
    assert 0.0 < told["cold"]["grid_ms"] < told["cold"]["ms"]
    assert 0.0 <= told["dae"]["accepted"] <= 1.0


def test_a_minimum_is_wrong_where_another_start_found_a_better_one(judged):
    found = is_wrong(np.array([10.9, 11.1, np.nan]), np.array([10.0, 10.0, 10.0]))
    assert found.tolist() == [False, True, True]


def test_fits_are_told_and_shown(trained, judged, capsys):
    print_evaluation(judged[1])
    text = capsys.readouterr().out
    assert f"fits of {FITTED} spectra" in text
    assert "from cold: 904 templates, " in text and "from truth: " in text
    page = write_report(trained).read_text()
    shown = ("a coarse grid of templates", "network, polished",
             f"The first {FITTED} spectra were also fitted",
             "From the network's answer a fit takes")  # fmt: skip
    assert [text for text in shown if text not in page] == []
    is_denied = "were not asked for" in page
    assert not is_denied


def test_a_store_of_spectra_alone_is_judged_without_fits(tmp_path, caplog):
    config = toy_config(tmp_path, epochs=1)
    run = train_here(config, write_toy(tmp_path, train=40, validation=8), tmp_path / "run")
    summary = evaluate(run, section=Evaluate(fit_spectra=4))
    assert "fit" not in summary and "fit" not in summary["bins"][0]["methods"]
    assert "no fits: " in caplog.text and "a store of spectra alone" in caplog.text


def test_spectra_without_their_calibration_are_no_matter_of_fits(trained, place, tmp_path):
    run = load_trained(trained)
    augment = run.config.augment.model_copy(update={"target": "original"})
    parts = Parts(Location.of(tmp_path), "of another target", 512)
    work = Judging(parts, place, run.config.evaluate, run.checkpoint, {FIT: 4})
    config = run.config.model_copy(update={"augment": augment})
    work.trained = dataclasses.replace(run, config=config)
    assert work(FIT, (0,)) == 4
    assert "augment.target = 'original'" in said(parts.read(FIT, 0, 4))
