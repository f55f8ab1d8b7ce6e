"""Recipe C from a dataset to a judged run: on the toy grid, small, on one rank and on several."""

import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch

from simlib.dataset.endless import EndlessSplit
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.parameters import AXES
from tests.simlib.dataset.toy_build import build
from tests.trainlib.judged_runs import page_without_figures
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, prepare, toy_config, train_here, train_together
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.refusal import judge_errors, judge_trust
from trainlib.evaluation.results import read_results
from trainlib.evaluation.strangers import KINDS, LINES, SKY
from trainlib.evaluation.trained import judged_by, load_trained
from trainlib.evaluation.trust import trust_of
from trainlib.evaluation.trust_numbers import summarise_trust
from trainlib.training.batches import Stored
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.data import read_spectra
from trainlib.training.examples import RestExamples, student_4
from trainlib.trust.model import TRUST, Trust

CPU = torch.device("cpu")
MODEL = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
ROWS = 70  # batches of 16 leave 6: of 7 ranks, one has none


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("virtual")
    rows = (f"dataset.n_train={ROWS}", "dataset.n_validation=40")
    return str(build(root, "dataset.mode=virtual", *rows))


def config_of(root, mode="stored", **train):
    return toy_config(root, MODEL, mode=mode, **{"recipe": "C", "batch_size": 16, **train})


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return train_here(config_of(root, epochs=10), place, root / "run")


def weights_of(directory):
    return load_checkpoint(directory / runs.CHECKPOINT, CPU)[0]["model"]


@pytest.fixture(scope="module")
def judged(trained):
    """Return a run, the summary of its evaluation, and the rows that were made for it."""
    made, good = [], EndlessSplit.spectra

    def watch(self, numbers, *exposures):
        made.append((self.split, numbers))
        return good(self, numbers, *exposures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndlessSplit, "spectra", watch)
        return trained, evaluate(trained), made


def test_it_learns_and_is_judged_better_than_the_linear_methods(judged):
    trained, summary, _ = judged
    curve = losses(trained)
    assert curve[-1][0] < curve[0][0] and curve[-1][1] < 0.97 * curve[0][1]
    assert sum(part["count"] for part in summary["bins"]) == 40
    for part in summary["bins"]:
        if part["count"] >= 5:
            error, linear = (part["methods"][name]["mean_abs_relative_error"]
                             for name in ("dae", "wiener"))  # fmt: skip
            assert error < 0.9 * linear


def test_what_knows_of_shifts_is_judged_too_and_templates_on_the_first_spectra(trained, tmp_path):
    run = copytree(trained, tmp_path / "run")
    keys = {"limit_spectra": 0, "template_spectra": 9, "stranger_spectra": 0}
    summary = evaluate(run, section=Evaluate(**keys, trust_spectra=20))
    found = read_results(run).on
    assert list(found["method"].values)[-3:] == ["rest", "dae", "template"]
    errors = {name: found["mean_abs_relative_error"].sel({"method": name}).values
              for name in ("none", "smoothing", "rest", "dae", "template")}  # fmt: skip
    assert np.isfinite(errors["rest"]).all() and errors["rest"].mean() < errors["smoothing"].mean()
    template = errors["template"]
    assert np.isfinite(template[:9]).all() and np.isnan(template[9:]).all()
    assert template[:9].mean() < 0.5 * errors["none"][:9].mean()
    assert bool((found["cpu_ms"].sel({"method": ["rest", "template"]}) > 0).all())
    snr = found["snr"].values
    for part in summary["bins"]:
        inside = (snr >= part["snr_low"]) & (snr < (part["snr_high"] or np.inf))
        told, known = part["methods"]["template"], inside & np.isfinite(template)
        assert told.get("count", part["count"]) == known.sum()
        if "count" in told and known.any():
            assert told["network"] == pytest.approx(errors["dae"][known].mean())
    off = read_results(trained).off["method"].values
    assert "rest" in off and "template" not in off


def test_a_run_opens_without_its_data_and_says_what_it_found(trained, place):
    spectra = open_dataset(place, "validation")
    flux, variance = (torch.from_numpy(spectra[name].values) for name in ("flux", "variance"))
    found = load_trained(trained).model.denoise(flux, variance)
    assert np.median(np.abs(found.redshift - spectra["redshift"].values)) < 1e-5
    assert abs(float(found.stars[:, 0].mean()) - spectra["teff"].values.mean()) < 100.0
    assert bool((found.error > 0).all())
    assert all(len(part) == 40 for part in vars(found).values())


def test_errors_are_sized_on_rows_that_no_one_else_sees(judged):
    _, summary, made = judged
    assert [split for split, _ in made] == ["validation"]
    assert made[0][1].min() >= 2**30 and made[0][1].size == 32
    assert summary["trust"]["calibration"] == {"spectra": 32, "bins": 1}


def test_the_summary_holds_shares_of_the_truth_and_of_strangers(judged):
    directory, summary, _ = judged
    told = summary["trust"]
    assert told == json.loads(json.dumps(told))
    results = read_results(directory)
    snr, trust = results.on["snr"].values, results.trust
    assert [part["count"] for part in told["bins"]] == [part["count"] for part in summary["bins"]]
    for part in (*told["bins"], told["all"]):
        high = np.inf if part["snr_high"] is None else part["snr_high"]
        some = (snr >= part["snr_low"]) & (snr < high)
        if not some.any():
            assert part["pixels"]["told"]["within_68"] is None
            continue
        for stage in ("told", "calibrated"):
            for level in (68, 95):
                where = {"stage": stage, "level": level}
                share = float(trust["within"].sel(where).values[some].astype(float).mean())
                assert part["pixels"][stage][f"within_{level}"] == pytest.approx(share)
                low, high = part["pixels"][stage][f"within_{level}_95"]
                assert low <= share + 1e-9 and high >= share - 1e-9
                z = float(trust["redshift_within"].sel(where).values[some].mean())
                assert part["redshift"][stage][f"within_{level}"] == pytest.approx(z)
        refused = float((trust["suspicion"].values[some] >= 1.0).mean())
        assert part["false_alarms"]["share"] == pytest.approx(refused)
    assert set(told["strangers"]) == set(KINDS)
    for kind, parts in told["strangers"].items():
        strange = trust["strange"].sel({"kind": kind}).values
        assert parts[-1]["count"] == strange.size == 4
        assert parts[-1]["detected"]["share"] == pytest.approx((strange >= 1.0).mean())
        assert ("found" in parts[-1]) == (kind in LINES) and 0.0 <= parts[-1]["auc"] <= 1.0
    assert told["strangers"][SKY][-1]["detected"]["share"] == 1.0


def test_what_is_found_is_kept_and_found_again_only_for_another_network_or_other_rows(judged):
    directory = judged[0]
    trained, place = load_trained(directory), directory / TRUST
    before = place.read_bytes()
    known = trust_of(trained)
    assert place.read_bytes() == before
    place.write_bytes(before[:-40])
    assert trust_of(trained) == known and place.read_bytes() == before
    other = trained.config.evaluate.model_copy(update={"trust_spectra": 8})
    fewer = trust_of(replace(trained, config=trained.config.model_copy(update={"evaluate": other})))
    assert fewer.rows == 8 and fewer.fingerprint != known.fingerprint
    moved = trust_of(replace(trained, checkpoint="0" * 16))
    assert moved.fingerprint != known.fingerprint and moved.pixel == known.pixel
    place.write_bytes(before)


def test_keys_of_trust_change_what_is_told(judged, place):
    directory, summary, _ = judged
    trained, before = load_trained(directory), (directory / TRUST).read_bytes()
    labels = open_dataset(place, "validation")
    spectra, snr = read_spectra(labels, 0, 40, CPU, ("redshift", *AXES)), labels["snr"].values

    def told(**keys):
        section = trained.config.evaluate.model_copy(update=keys)
        other = judged_by(trained, section)
        trust = Trust.of(trust_of(other))
        found = judge_errors(other, trust, spectra, labels["wavelength"].values)
        return summarise_trust(judge_trust(found, {}, trust), snr)

    try:
        alone, fewer = told(stranger_spectra=0), told(stranger_spectra=0, trust_spectra=20)
    finally:
        (directory / TRUST).write_bytes(before)
    assert "strangers" not in alone and alone["all"] == summary["trust"]["all"]
    assert fewer["calibration"]["spectra"] == 20 and fewer["all"] != alone["all"]


def test_the_page_shows_errors_and_verdicts(judged, tmp_path):
    directory, summary, _ = judged
    html = page_without_figures([directory], tmp_path / "page.html").read_text()
    told = summary["trust"]["all"]
    assert "The error that is told of a pixel is right" in html
    assert f"{100 * told['pixels']['calibrated']['within_68']:.1f}" in html
    assert all(f"<td>{kind}</td>" in html for kind in KINDS)


@pytest.mark.parametrize("mode", [pytest.param("stored", marks=pytest.mark.slow), "endless"])
def test_a_run_that_broke_off_within_a_round_goes_on_as_if_it_had_not(
    mode, place, tmp_path, monkeypatch
):
    config = config_of(tmp_path, mode, epochs=4)
    whole = train_here(config, place, tmp_path / "whole")
    good = RestExamples.epoch

    def break_off(self, number, *first):
        if number == 3:  # the second of its round
            raise ConnectionError("the machine went down")
        return good(self, number, *first)

    with monkeypatch.context() as patch:
        patch.setattr(RestExamples, "epoch", break_off)
        with pytest.raises(ConnectionError):
            train_here(config, place, tmp_path / "broken")
    broken = train_here(config, place, tmp_path / "broken")
    assert losses(broken) == losses(whole)
    one, other = weights_of(whole), weights_of(broken)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_several_ranks_train_as_one(place, tmp_path):
    alone = train_here(config_of(tmp_path, epochs=3), place, tmp_path / "alone")
    config = config_of(tmp_path, epochs=3, ranks=2)
    together = prepare(config, place, tmp_path / "together")
    train_together(together)
    assert np.allclose(losses(together), losses(alone), rtol=2e-3)  # short arithmetic inside
    one, other = weights_of(alone), weights_of(together)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in (
        "mean", "metric", "vectors", "eigenvalues", "noise_shape", "stars", "axis"))  # fmt: skip


def test_noise_is_new_every_round_and_batches_are_mixed_every_epoch(place, tmp_path, monkeypatch):
    seen, good = [], RestExamples.epoch

    def watch(self, number, *first):
        seen.append([])
        for example in good(self, number, *first):
            seen[-1].append(example.inputs[0])
            yield example

    reads, read = [], Stored.epoch
    monkeypatch.setattr(RestExamples, "epoch", watch)
    monkeypatch.setattr(
        Stored, "epoch", lambda self, n, *at: (reads.append(n), read(self, n, *at))[1]
    )
    train_here(config_of(tmp_path, epochs=4), place, tmp_path / "run")
    assert reads == [0, 1]
    first, again, new, _ = (torch.cat(epoch) for epoch in seen)
    assert not torch.equal(first, again)
    assert torch.equal(*(rows[rows[:, 0].argsort()] for rows in (first, again)))
    assert not bool((new[:, :1] == first[:, 0]).any())


def test_the_error_of_redshifts_that_it_trains_with_is_students():
    p = np.array([0.5, 0.75, 0.9, 0.025, 0.995])
    assert np.allclose(student_4(p), [0.0, 0.740697, 1.533206, -2.776445, 4.604095], atol=1e-5)
    assert np.isfinite(student_4(np.array([0.0, 1.0]))).all()


def test_a_store_of_spectra_alone_is_refused_with_the_way_out(tmp_path):
    url = write_toy(tmp_path, train=20, validation=8)
    with pytest.raises(InputError, match="store of spectra alone.*train.recipe = 'B'"):
        train_here(config_of(tmp_path), url, tmp_path / "run")
